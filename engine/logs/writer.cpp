#include "engine/logs/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>

#include "base/sys.h"

namespace engine::logs {
namespace {

/// With a small size limit a batch is formatted in portions, so that files do not grow far past the limit.
constexpr std::int64_t small_limit_bytes = 4 << 20;
constexpr std::size_t small_portion_bytes = 16 * 1024 + 1;

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::filesystem::path rotated(const std::filesystem::path& log, int number) {
  return log.string() + "." + std::to_string(number);
}

base::Result<std::uint64_t> size_of(base::Fd file) {
  struct stat status{};
  TRY(base::sys::wrap("stat the log", ::fstat(file.number(), &status)));
  return static_cast<std::uint64_t>(status.st_size);
}

/// pwrite(2) until all is there: writing a redone batch over its first half must not append.
base::Result<> write_at(base::Fd file, std::string_view bytes, std::uint64_t offset) {
  while (!bytes.empty()) {
    const ssize_t count = ::pwrite(file.number(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::errno_error(errno, "write the log");
    bytes.remove_prefix(static_cast<std::size_t>(count));
    offset += static_cast<std::uint64_t>(count);
  }
  return {};
}

/// The length up to and including the last newline.
base::Result<std::uint64_t> whole_records(base::Fd file) {
  ASSIGN_OR_RETURN(std::uint64_t end, size_of(file));
  std::string block(64 * 1024, '\0');
  while (end > 0) {
    const std::uint64_t start = end > block.size() ? end - block.size() : 0;
    const ssize_t count = ::pread(file.number(), block.data(), end - start, static_cast<off_t>(start));
    if (count < 0) return base::errno_error(errno, "read the log");
    const auto newline = std::string_view(block.data(), static_cast<std::size_t>(count)).rfind('\n');
    if (newline != std::string_view::npos) return start + newline + 1;
    end = start;
  }
  return std::uint64_t{0};
}

}  // namespace

base::Result<LogWriter> LogWriter::open(const WriterOptions& options) {
  auto journal = Journal::open(options.journal);
  if (!journal) return std::move(journal).error();
  LogWriter writer(options, *std::move(journal));
  TRY(writer.recover().with("recovering " + options.log.string()));
  return writer;
}

base::Result<> LogWriter::open_log() {
  ASSIGN_OR_RETURN(log_, base::sys::open(options_.log, O_RDWR | O_CREAT | O_NOFOLLOW, 0640));
  return {};
}

base::Result<> LogWriter::recover() {
  if (options_.settings.driver == Driver::none) return {};
  if (journal_.rotating() != 0) TRY(rotate());
  if (!log_.valid()) TRY(open_log());
  if (journal_.fresh()) {
    // After a power cut nobody remembers how far the file was good: its last record may be torn.
    ASSIGN_OR_RETURN(const auto whole, whole_records(log_.borrow()));
    TRY(base::sys::wrap("ftruncate the log", ::ftruncate(log_.number(), static_cast<off_t>(whole))));
    journal_.set_log_size(whole);
    return {};
  }
  Batch batch;
  if (journal_.unfinished(batch)) TRY(write_batch(batch));
  return {};
}

base::Result<std::string_view> LogWriter::pump(Stream stream, base::Fd fifo) {
  TRY(write_pending(stream, false));
  ASSIGN_OR_RETURN(const auto moved, journal_.fill(stream, fifo));
  if (moved == 0) return std::string_view{};
  const auto pending = journal_.pending(stream);
  const auto raw = pending.substr(pending.size() - moved);  // stays in place until the next fill
  TRY(write_pending(stream, false));
  return raw;
}

base::Result<> LogWriter::append(Stream stream, std::string_view bytes) {
  TRY(write_pending(stream, false));
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(const auto taken, journal_.fill(stream, bytes));
    bytes.remove_prefix(taken);
    TRY(write_pending(stream, false));
  }
  return {};
}

base::Result<> LogWriter::finish() {
  TRY(write_pending(Stream::out, true));
  return write_pending(Stream::err, true);
}

base::Result<> LogWriter::write_pending(Stream stream, bool at_end) {
  while (!journal_.pending(stream).empty()) {
    const auto from = journal_.position(stream);
    TRY(write_batch({.stream = stream, .from = from, .to = from, .time_ns = now_ns(), .at_end = at_end}));
    if (journal_.position(stream) == from) break;  // only an unfinished line is left
  }
  return {};
}

/// Formats what is pending, the same way for a new batch and for one to be redone: the input has not changed since it was noted.
base::Result<> LogWriter::write_batch(const Batch& noted) {
  auto batch = noted;
  const auto& settings = options_.settings;
  const bool limited = settings.driver != Driver::none && settings.max_size_bytes > 0;
  auto bytes = journal_.pending(batch.stream);
  const bool portion = limited && settings.max_size_bytes < small_limit_bytes && bytes.size() > small_portion_bytes;
  if (portion) bytes = bytes.substr(0, small_portion_bytes);
  out_.clear();
  const auto used =
      format_records(settings.driver, batch.stream, batch.time_ns, bytes, batch.at_end && !portion, out_);
  if (used == 0) return {};
  batch.to = batch.from + used;
  if (settings.driver == Driver::none) {
    journal_.begin(batch);
    journal_.commit(0);
    return {};
  }
  if (batch.to != noted.to) {  // a new batch: choose its place. A noted one has its place.
    ASSIGN_OR_RETURN(const auto actual, size_of(log_.borrow()));
    if (actual < journal_.log_size()) journal_.set_log_size(actual);  // someone truncated the file
    const auto limit = static_cast<std::uint64_t>(settings.max_size_bytes);
    if (limited && journal_.log_size() > 0 && journal_.log_size() + out_.size() > limit) TRY(rotate());
    batch.log_offset = journal_.log_size();
    journal_.begin(batch);
  }
  if (auto written = write_at(log_.borrow(), out_, batch.log_offset); !written) {
    // Disk full: take the part back, the bytes stay pending and become a new batch when there is room again.
    if (::ftruncate(log_.number(), static_cast<off_t>(batch.log_offset)) != 0) return written;  // stays noted: redone
    journal_.forget();
    return written;
  }
  journal_.commit(batch.log_offset + out_.size());
  return {};
}

/// log → log.1 → … → log.N-1, the oldest dropped. Killed anywhere, the next writer calls it again: `rotating` names the file that
/// has to go, and a gap in the numbers shows how far the shifting came.
base::Result<> LogWriter::rotate() {
  const auto& log = options_.log;
  struct stat current{};
  const bool there = ::stat(log.c_str(), &current) == 0;
  if (journal_.rotating() == 0) {
    if (there) journal_.set_rotating(current.st_ino);
  }
  if (there && current.st_ino == journal_.rotating()) {
    const int last = options_.settings.max_files - 1;
    if (last == 0) {
      TRY(base::sys::wrap("truncate " + log.string(), ::truncate(log.c_str(), 0)));
    } else {
      int gap = 1;
      while (gap < last && ::access(rotated(log, gap).c_str(), F_OK) == 0) ++gap;
      for (int i = gap - 1; i >= 1; --i) TRY(base::sys::rename(rotated(log, i), rotated(log, i + 1)));
      TRY(base::sys::rename(log, rotated(log, 1)));
    }
  }
  TRY(open_log());
  journal_.set_log_size(0);
  journal_.set_rotating(0);
  return {};
}

base::Result<std::size_t> LogWriter::relay(base::Fd from, base::Fd fifo) {
  ssize_t moved;
  do {
    moved = ::splice(from.number(), nullptr, fifo.number(), nullptr, 64 * 1024, SPLICE_F_NONBLOCK);
  } while (moved < 0 && errno == EINTR);
  if (moved < 0 && errno == EAGAIN) return std::size_t{0};
  if (moved < 0) return base::errno_error(errno, "splice from the terminal");
  return static_cast<std::size_t>(moved);
}

}  // namespace engine::logs
