#pragma once
// Writes one container's log: from its FIFOs (or memory) through the journal into rotated files.
//
//   auto writer = LogWriter::open({.log = paths::container_log(id), .journal = run / "log.journal", .settings = …});   // recovers
//   on readable(fifo):  auto moved = writer->pump(Stream::out, fifo)      // until moved->size() == 0
//   on exit:            pump until empty, then writer->finish()           // the unfinished last lines
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/logs/format.h"
#include "engine/logs/journal.h"

namespace engine::logs {

struct WriterOptions {
  std::filesystem::path log;      ///< rotated files are log.1 (newest) … log.N-1
  std::filesystem::path journal;  ///< on tmpfs, in a folder that exists
  Settings settings;
};

/// Exactly-once across crashes of this process (journal.h). Not thread-safe; each container has its own.
class LogWriter {
 public:
  /// Opens or creates the log and its journal, finishes what a killed writer left half-done, and cuts a torn last record
  /// (power cut). Errors: invalid (journal of another version), exhausted (another writer holds the journal), io.
  static base::Result<LogWriter> open(const WriterOptions& options);

  /// Moves what the FIFO holds now into the log: one splice, one write. Returns the raw bytes moved (for attached clients), valid until
  /// the next call; empty = nothing there. At most Journal::buffer_bytes a call, so that one noisy container starves no other.
  /// An Error of the log file (disk full) leaves the bytes in the journal: the next call tries them again first.
  base::Result<std::string_view> pump(Stream stream, base::Fd fifo);
  /// The same for bytes in memory.
  base::Result<> append(Stream stream, std::string_view bytes);
  /// Writes unfinished last lines as lines. The container has ended (or its streams have).
  base::Result<> finish();

  /// Moves what `from` (a terminal's master) holds into `fifo`, from where pump() takes it; a crash in between loses nothing as long as
  /// someone (the keeper) holds the FIFO. Never blocks. 0 = nothing there; Error io EIO: the terminal's other side is closed.
  static base::Result<std::size_t> relay(base::Fd from, base::Fd fifo);

 private:
  LogWriter(WriterOptions options, Journal journal) : options_(std::move(options)), journal_(std::move(journal)) {}
  base::Result<> recover();
  base::Result<> write_pending(Stream stream, bool at_end);
  base::Result<> write_batch(const Batch& batch);
  base::Result<> rotate();
  base::Result<> open_log();

  WriterOptions options_;
  Journal journal_;
  base::UniqueFd log_;
  std::string out_;    ///< records of the batch in hand; keeps its capacity
  std::string moved_;  ///< raw bytes handed out by pump()
};

}  // namespace engine::logs
