// Finding the place to start reading: backwards for --tail, by bisection for --since.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "base/sys.h"
#include "engine/logs/source.h"

namespace engine::logs {
namespace {

constexpr std::size_t block_bytes = 64 * 1024;

std::uint64_t size_of(const LogFile& file) {
  struct stat status{};
  return ::fstat(file.fd.number(), &status) == 0 ? static_cast<std::uint64_t>(status.st_size) : 0;
}

std::string read_at(const LogFile& file, std::uint64_t offset, std::size_t length) {
  std::string block(length, '\0');
  std::size_t have = 0;
  while (have < length) {
    const ssize_t count =
        ::pread(file.fd.number(), block.data() + have, length - have, static_cast<off_t>(offset + have));
    if (count <= 0) break;
    have += static_cast<std::size_t>(count);
  }
  block.resize(have);
  return block;
}

/// Counts complete lines from the end of `file` until `wanted` is 0; `offset` is where the earliest one counted starts.
/// Records that go on in the next one do not count.
void tail_of(LogFile& file, std::size_t& wanted) {
  std::uint64_t block_start = std::min(size_of(file), file.limit);
  std::string bytes;  // from block_start on, up to the end of the last line not yet looked at
  bool torn = true;   // what follows the last newline is not a line yet
  Record record;
  std::string scratch;
  file.offset = 0;
  while (true) {
    const auto newline = bytes.rfind('\n');
    if (newline == std::string::npos && block_start > 0) {
      const auto step = std::min<std::uint64_t>(block_bytes, block_start);
      block_start -= step;
      bytes.insert(0, read_at(file, block_start, step));
      continue;
    }
    const std::size_t start = newline == std::string::npos ? 0 : newline + 1;
    const bool counts =
        !torn && parse_record(std::string_view(bytes).substr(start), record, scratch) && !record.partial;
    if (counts && wanted == 0) {
      file.offset = block_start + bytes.size() + 1;  // behind this line's newline
      return;
    }
    if (counts) --wanted;
    if (newline == std::string::npos) return;
    torn = false;
    bytes.resize(newline);
  }
}

/// The time of the first record that starts at or after `offset`; -1 when there is none within two blocks.
std::int64_t time_after(const LogFile& file, std::uint64_t offset) {
  const auto bytes = read_at(file, offset, 2 * block_bytes);
  std::size_t start = 0;
  if (offset > 0) {
    start = bytes.find('\n');
    if (start == std::string::npos) return -1;
    ++start;
  }
  Record record;
  std::string scratch;
  while (true) {
    const auto end = bytes.find('\n', start);
    if (end == std::string::npos) return -1;
    if (parse_record(std::string_view(bytes).substr(start, end - start), record, scratch)) return record.time_ns;
    start = end + 1;
  }
}

}  // namespace

std::deque<LogFile> open_chain(const std::filesystem::path& log) {
  std::deque<LogFile> files;
  int missing = 0;
  for (int i = 0; missing < 2; ++i) {  // a rotation under way leaves one gap
    const auto path = i == 0 ? log : std::filesystem::path(log.string() + "." + std::to_string(i));
    auto fd = base::sys::open(path, O_RDONLY | O_NOFOLLOW);
    struct stat status{};
    if (!fd || ::fstat(fd->number(), &status) != 0) {
      ++missing;
      continue;
    }
    missing = 0;
    const auto same = [&](const LogFile& file) { return file.inode == status.st_ino; };
    if (std::none_of(files.begin(), files.end(), same)) files.push_front({*std::move(fd), status.st_ino, 0});
  }
  return files;
}

void seek_tail(std::deque<LogFile>& files, std::size_t lines) {
  for (std::size_t i = files.size(); i-- > 0;) {
    if (lines == 0 && i + 1 < files.size()) {
      files[i].offset = size_of(files[i]);
    } else {
      tail_of(files[i], lines);
    }
  }
}

void seek_since(std::deque<LogFile>& files, std::int64_t since_ns) {
  while (files.size() > 1) {
    const auto first_of_next = time_after(files[1], 0);
    if (first_of_next < 0 || first_of_next >= since_ns) break;
    files.pop_front();
  }
  if (files.empty()) return;
  auto& file = files.front();
  std::uint64_t low = 0, high = size_of(file);
  while (high - low > block_bytes) {
    const auto middle = low + (high - low) / 2;
    const auto time = time_after(file, middle);
    if (time >= 0 && time < since_ns) low = middle;
    else high = middle;
  }
  if (low == 0) return;
  const auto newline = read_at(file, low, 2 * block_bytes).find('\n');
  const auto start = newline == std::string::npos ? low : low + newline + 1;
  file.offset = std::max(file.offset, start);
}

}  // namespace engine::logs
