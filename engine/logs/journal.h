#pragma once
// What makes log intake exactly-once across kill -9 of the supervisor at any instruction.
//
// A file on tmpfs (run/projects/P/ID/log.journal), mapped shared. Bytes go FIFO → journal by splice(2) with the output offset
// stored *in the mapped page*: the kernel consumes the pipe, fills the file and writes the new offset within one system call, and
// SIGKILL acts only on return to user mode, so "consumed" and "recorded" cannot fall apart. A batch (range, time, log offset) is noted before it is
// written to the log and cleared afterwards; a new supervisor redoes a noted batch: same range, same time, same offset, same bytes.
// After a reboot the journal is gone together with all containers; then the writer only trims a torn last line.
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/logs/format.h"

namespace engine::logs {

/// A batch that is being written to the log file.
struct Batch {
  Stream stream = Stream::out;
  std::uint64_t from = 0, to = 0;  ///< offsets in the stream's buffer
  std::int64_t time_ns = 0;
  std::uint64_t log_offset = 0;    ///< where its records start in the log file
  bool at_end = false;             ///< the unfinished last line is included
};

/// One container's journal. One owner at a time (flock on the file); not thread-safe.
class Journal {
 public:
  static constexpr std::size_t buffer_bytes = 256 * 1024;  ///< a stream

  /// Opens or creates it. A file of another version or size is an Error invalid. Error exhausted: another process holds it
  /// (a dying supervisor: try again).
  static base::Result<Journal> open(const std::filesystem::path& path);
  Journal(Journal&& other) noexcept;
  Journal& operator=(Journal&& other) noexcept;
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;
  ~Journal();

  /// Moves what `fifo` holds now, as far as it fits. Never blocks. Returns the bytes moved; 0 = nothing there (or every writer closed).
  base::Result<std::size_t> fill(Stream stream, base::Fd fifo);
  /// The same for bytes in memory; copies what fits and returns how much.
  base::Result<std::size_t> fill(Stream stream, std::string_view bytes);
  /// Bytes taken in and not yet committed.
  [[nodiscard]] std::string_view pending(Stream stream) const;
  [[nodiscard]] std::uint64_t position(Stream stream) const;  ///< offset of pending()'s first byte

  /// Notes `batch` as being written.
  void begin(const Batch& batch);
  /// The batch is in the log, which is now `log_size` long. Gives the buffer space free.
  void commit(std::uint64_t log_size);
  /// The noted batch is not in the log after all; its bytes stay pending.
  void forget();
  /// A batch noted and never committed: to be redone. False when there is none.
  bool unfinished(Batch& batch) const;

  [[nodiscard]] std::uint64_t log_size() const;          ///< committed length of the log file
  [[nodiscard]] bool fresh() const { return fresh_; }    ///< made just now: nothing is known about the log file
  void set_log_size(std::uint64_t size);
  /// The inode of the log file that is being rotated; 0 = no rotation under way.
  [[nodiscard]] ino_t rotating() const;
  void set_rotating(ino_t inode);

 private:
  struct Page;
  Journal() = default;
  void give_back(Stream stream);
  Page* page_ = nullptr;
  char* buffers_ = nullptr;
  base::UniqueFd file_;
  bool fresh_ = false;
};

}  // namespace engine::logs
