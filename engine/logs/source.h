#pragma once
// One container's log as a sequence of lines over its rotated files. Internal to the reader.
#include <sys/types.h>

#include <cstdint>
#include <deque>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/logs/format.h"
#include "engine/logs/reader.h"

namespace engine::logs {

/// A file of the chain log, log.1 … kept open, so that rotation does not matter.
struct LogFile {
  base::UniqueFd fd;
  ino_t inode = 0;
  std::uint64_t offset = 0;  ///< of the next byte to read
  std::uint64_t limit = UINT64_MAX;  ///< what was written behind it came too late
};

class Source {
 public:
  Source(int number, std::filesystem::path log, const ReadOptions& options);

  /// Opens what is there and goes to the start that tail and since ask for.
  base::Result<> open();
  /// Makes `line()` the next line. False: nothing more at the moment.
  bool advance();
  [[nodiscard]] const Line& line() const { return line_; }

  int number;
  int watch = -1;            ///< inotify watch of its folder
  bool has_line = false;
  bool maybe_more = true;    ///< false: at the end, until an event says otherwise
  bool retired = false;
  bool finished = false;     ///< until_ns passed
  std::uint64_t reads = 0;   ///< read calls so far

 private:
  bool next_record(Record& record);
  bool refill();
  bool next_file();
  bool deliver(const Record& record);
  bool flush_partial();

  std::filesystem::path log_;
  ReadOptions options_;
  std::deque<LogFile> files_;  ///< front is being read
  std::string buffer_;
  std::size_t begin_ = 0, end_ = 0;  ///< unread part of buffer_
  std::string scratch_, whole_;
  struct Partial {
    std::string text;
    std::int64_t time_ns = 0;
  };
  Partial partial_[2];
  Line line_;
};

/// The files of a chain, oldest first; each inode once.
std::deque<LogFile> open_chain(const std::filesystem::path& log);
/// Sets the offset of every file so that only the last `lines` lines are read. Reads backwards by blocks.
void seek_tail(std::deque<LogFile>& files, std::size_t lines);
/// Drops files and sets offsets so that reading starts shortly before the first record at or after `since_ns`. Bisects.
void seek_since(std::deque<LogFile>& files, std::int64_t since_ns);

}  // namespace engine::logs
