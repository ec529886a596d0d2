#include "engine/logs/journal.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "base/sys.h"

namespace engine::logs {
namespace {

constexpr std::uint64_t magic = 0x31304c4e4a504d43;  // "CMPJNL01"
constexpr std::size_t page_bytes = 4096;
constexpr std::size_t file_bytes = page_bytes + 2 * Journal::buffer_bytes;
/// While less than this is free behind the pending bytes, they are moved to the front first. Pending bytes are an unfinished line
/// (≤ max_record_text) in ordinary operation, so the move is small and never overlaps.
constexpr std::size_t room_wanted = Journal::buffer_bytes / 2;

constexpr int lock_limit_ms = 1000;

/// SIGKILL leaves a prefix of our stores; this keeps the compiler from changing their order.
void in_order() { std::atomic_signal_fence(std::memory_order_seq_cst); }

constexpr std::uint64_t base_of(Stream stream) {
  return page_bytes + (stream == Stream::out ? 0 : Journal::buffer_bytes);
}

}  // namespace

/// The first page of the file. Offsets are file offsets. Both offsets of a stream change together by preparing the idle slot and
/// switching to it, a single store.
struct Journal::Page {
  struct Slot {
    loff_t in, out;  ///< bytes [out, in) are pending; splice(2) advances `in`
  };
  struct Streams {
    Slot slots[2];
    volatile std::uint32_t active;
    std::uint32_t unused;
    volatile Slot& now() { return slots[active]; }
  };
  std::uint64_t magic_number;
  Streams streams[2];
  volatile std::uint64_t log_size;
  volatile std::uint64_t rotating;
  volatile std::uint32_t batch_noted;
  std::uint32_t unused;
  Batch batch;
};

base::Result<Journal> Journal::open(const std::filesystem::path& path) {
  Journal journal;
  ASSIGN_OR_RETURN(journal.file_, base::sys::open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  const int fd = journal.file_.number();
  // A child that a killed supervisor was just spawning has copies of its descriptors until it executes its program.
  for (int waited_ms = 0; ::flock(fd, LOCK_EX | LOCK_NB) < 0; ++waited_ms) {
    if (errno != EWOULDBLOCK) return base::errno_error(errno, "flock " + path.string());
    if (waited_ms == lock_limit_ms) return base::make_error(base::ErrorKind::exhausted, path.string() + " is held by another process");
    (void)::poll(nullptr, 0, 1);
  }
  struct stat status{};
  TRY(base::sys::wrap("stat " + path.string(), ::fstat(fd, &status)));
  if (status.st_size == 0) {
    TRY(base::sys::wrap("ftruncate " + path.string(), ::ftruncate(fd, file_bytes)));
  } else if (status.st_size != static_cast<off_t>(file_bytes)) {
    return base::make_error(base::ErrorKind::invalid, path.string() + " is no log journal of this version");
  }
  // Writing to a mapped page for which there is no room is SIGBUS; so is every write below to a page no system call made.
  TRY(base::sys::wrap("make room in " + path.string(), ::fallocate(fd, 0, 0, page_bytes)));
  void* mapped = ::mmap(nullptr, file_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) return base::errno_error(errno, "mmap " + path.string());
  journal.page_ = static_cast<Page*>(mapped);
  journal.buffers_ = static_cast<char*>(mapped);
  // A page swapped out could not be written to by the kernel once SIGKILL is pending. Best effort: without the right to lock, the
  // window is one page fault wide.
  (void)::mlock(mapped, page_bytes);
  static_assert(sizeof(Page) <= page_bytes);
  auto& page = *journal.page_;
  if (page.magic_number == 0) {  // new, or its maker was killed before it finished
    page = Page{};
    for (const auto stream : {Stream::out, Stream::err}) {
      const auto base = static_cast<loff_t>(base_of(stream));
      page.streams[static_cast<std::size_t>(stream)].slots[0] = {base, base};
    }
    in_order();
    page.magic_number = magic;
    journal.fresh_ = true;
  } else if (page.magic_number != magic) {
    return base::make_error(base::ErrorKind::invalid, path.string() + " is no log journal of this version");
  }
  return journal;
}

Journal::Journal(Journal&& other) noexcept
    : page_(std::exchange(other.page_, nullptr)),
      buffers_(std::exchange(other.buffers_, nullptr)),
      file_(std::move(other.file_)),
      fresh_(other.fresh_) {}

Journal& Journal::operator=(Journal&& other) noexcept {
  std::swap(page_, other.page_);
  std::swap(buffers_, other.buffers_);
  std::swap(file_, other.file_);
  fresh_ = other.fresh_;
  return *this;
}

Journal::~Journal() {
  if (page_) ::munmap(page_, file_bytes);
  // Closing alone leaves the lock with copies in children that are being spawned.
  if (file_.valid()) (void)::flock(file_.number(), LOCK_UN);
}

void Journal::give_back(Stream stream) {
  auto& streams = page_->streams[static_cast<std::size_t>(stream)];
  const loff_t in = streams.now().in, out = streams.now().out;
  const auto base = static_cast<loff_t>(base_of(stream));
  const auto pending = static_cast<std::size_t>(in - out);
  const auto free_behind = buffer_bytes - static_cast<std::size_t>(in - base);
  if (out == base || (pending > 0 && free_behind >= room_wanted)) return;
  if (static_cast<std::size_t>(out - base) < pending) return;  // would overlap: a crash half-way would mix bytes
  std::memcpy(buffers_ + base, buffers_ + out, pending);
  in_order();
  const std::uint32_t idle = 1 - streams.active;
  streams.slots[idle] = {base + static_cast<loff_t>(pending), base};
  in_order();
  streams.active = idle;
}

base::Result<std::size_t> Journal::fill(Stream stream, base::Fd fifo) {
  give_back(stream);
  auto& streams = page_->streams[static_cast<std::size_t>(stream)];
  auto& slot = streams.slots[streams.active];
  const auto used = static_cast<std::size_t>(slot.in - static_cast<loff_t>(base_of(stream)));
  if (used == buffer_bytes) return std::size_t{0};
  ssize_t moved;
  do {
    moved = ::splice(fifo.number(), nullptr, file_.number(), &slot.in, buffer_bytes - used, SPLICE_F_NONBLOCK);
  } while (moved < 0 && errno == EINTR);
  in_order();
  if (moved < 0 && errno == EAGAIN) return std::size_t{0};
  if (moved < 0) return base::errno_error(errno, "splice from the log pipe");
  return static_cast<std::size_t>(moved);
}

base::Result<std::size_t> Journal::fill(Stream stream, std::string_view bytes) {
  give_back(stream);
  auto& slot = page_->streams[static_cast<std::size_t>(stream)].now();
  const loff_t in = slot.in;
  const auto used = static_cast<std::size_t>(in - static_cast<loff_t>(base_of(stream)));
  const auto count = std::min(buffer_bytes - used, bytes.size());
  if (count == 0) return count;
  const auto written = ::pwrite(file_.number(), bytes.data(), count, in);
  if (written < 0) return base::errno_error(errno, "write to the log journal");
  in_order();
  slot.in = in + written;
  return static_cast<std::size_t>(written);
}

std::string_view Journal::pending(Stream stream) const {
  const auto& slot = page_->streams[static_cast<std::size_t>(stream)].now();
  const loff_t in = slot.in, out = slot.out;
  return {buffers_ + out, static_cast<std::size_t>(in - out)};
}

std::uint64_t Journal::position(Stream stream) const {
  return static_cast<std::uint64_t>(page_->streams[static_cast<std::size_t>(stream)].now().out);
}

void Journal::begin(const Batch& batch) {
  page_->batch = batch;
  in_order();
  page_->batch_noted = 1;
  in_order();
}

void Journal::commit(std::uint64_t log_size) {
  // Killed between these, the batch is still noted and its bytes are still there: doing it again changes nothing.
  in_order();
  page_->log_size = log_size;
  page_->streams[static_cast<std::size_t>(page_->batch.stream)].now().out = static_cast<loff_t>(page_->batch.to);
  in_order();
  page_->batch_noted = 0;
  in_order();
}

void Journal::forget() {
  in_order();
  page_->batch_noted = 0;
}

bool Journal::unfinished(Batch& batch) const {
  if (!page_->batch_noted) return false;
  batch = page_->batch;
  return true;
}

std::uint64_t Journal::log_size() const { return page_->log_size; }
void Journal::set_log_size(std::uint64_t size) { page_->log_size = size; }
ino_t Journal::rotating() const { return page_->rotating; }
void Journal::set_rotating(ino_t inode) {
  in_order();
  page_->rotating = inode;
  in_order();
}

}  // namespace engine::logs
