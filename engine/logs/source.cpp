#include "engine/logs/source.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/sys.h"

namespace engine::logs {
namespace {

constexpr std::size_t buffer_bytes = 256 * 1024;
constexpr std::size_t line_limit_bytes = 1 << 20;

}  // namespace

Source::Source(int source_number, std::filesystem::path log, const ReadOptions& options)
    : number(source_number), log_(std::move(log)), options_(options), buffer_(buffer_bytes, '\0') {}

base::Result<> Source::open() {
  files_ = open_chain(log_);
  // Without following, a log is what it is now: else a busy one would show more than its last N lines.
  if (!options_.follow && !files_.empty()) {
    struct stat status{};
    auto& newest = files_.back();
    if (::fstat(newest.fd.number(), &status) == 0) newest.limit = static_cast<std::uint64_t>(status.st_size);
  }
  if (options_.tail) seek_tail(files_, *options_.tail);
  if (options_.since_ns > 0) seek_since(files_, options_.since_ns);
  return {};
}

/// Reads on in the front file. False: at its end.
bool Source::refill() {
  if (files_.empty()) return false;
  auto& file = files_.front();
  if (begin_ > 0) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (end_ == buffer_.size()) {
    if (buffer_.size() >= 2 * line_limit_bytes) end_ = 0;  // no record is that long: foreign bytes
    else buffer_.resize(buffer_.size() * 2);
  }
  ++reads;
  const auto left = file.limit > file.offset ? file.limit - file.offset : 0;
  const auto room = static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size() - end_, left));
  ssize_t count;
  do {
    count = ::pread(file.fd.number(), buffer_.data() + end_, room, static_cast<off_t>(file.offset));
  } while (count < 0 && errno == EINTR);
  if (count <= 0) {
    struct stat status{};
    if (::fstat(file.fd.number(), &status) == 0 && static_cast<std::uint64_t>(status.st_size) < file.offset) {
      file.offset = 0;  // truncated in place: max-file 1, or by hand
      begin_ = end_ = 0;
      return status.st_size > 0 && refill();
    }
    return false;
  }
  end_ += static_cast<std::size_t>(count);
  file.offset += static_cast<std::uint64_t>(count);
  return true;
}

/// Goes on to the next newer file, if there is one by now. The front one has been read to its end *after* it was rotated away.
bool Source::next_file() {
  if (files_.size() <= 1 && options_.follow) {
    struct stat now{};
    const bool there = ::stat(log_.c_str(), &now) == 0;
    if (!there || (!files_.empty() && files_.front().inode == now.st_ino)) return false;
    auto chain = open_chain(log_);
    if (!files_.empty()) {
      for (std::size_t i = chain.size(); i-- > 0;) {
        if (chain[i].inode != files_.front().inode) continue;
        chain.erase(chain.begin(), chain.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        break;
      }
    }
    for (auto& file : chain) files_.push_back(std::move(file));
    if (files_.size() > 1 && refill()) return true;  // written between our last look and the rotation
  }
  if (files_.size() <= 1) return !files_.empty() && end_ == begin_ && files_.front().offset == 0 && refill();
  files_.pop_front();
  begin_ = end_ = 0;
  return true;
}

bool Source::next_record(Record& record) {
  while (true) {
    const void* newline = std::memchr(buffer_.data() + begin_, '\n', end_ - begin_);
    if (!newline) {
      if (refill() || next_file()) continue;
      return false;
    }
    const char* start = buffer_.data() + begin_;
    const auto length = static_cast<std::size_t>(static_cast<const char*>(newline) - start);
    begin_ += length + 1;
    if (parse_record({start, length}, record, scratch_)) return true;
  }
}

/// Puts a record into line_, joining pieces. False: not a whole line yet.
bool Source::deliver(const Record& record) {
  auto& partial = partial_[static_cast<std::size_t>(record.stream)];
  if (partial.text.empty() && !record.partial) {
    line_ = {number, record.stream, record.time_ns, record.text};
    return true;
  }
  if (partial.text.empty()) partial.time_ns = record.time_ns;
  partial.text += record.text;
  if (record.partial && partial.text.size() < line_limit_bytes) return false;
  whole_.swap(partial.text);
  partial.text.clear();
  line_ = {number, record.stream, partial.time_ns, whole_};
  return true;
}

/// A line whose end never came (the log ends, or the writer was cut off): delivered as it is.
bool Source::flush_partial() {
  for (std::size_t i = 0; i < 2; ++i) {
    if (partial_[i].text.empty()) continue;
    whole_.swap(partial_[i].text);
    partial_[i].text.clear();
    line_ = {number, static_cast<Stream>(i), partial_[i].time_ns, whole_};
    return true;
  }
  return false;
}

bool Source::advance() {
  has_line = false;
  if (finished) return false;
  Record record;
  while (next_record(record)) {
    if (record.time_ns < options_.since_ns) continue;
    if (options_.until_ns > 0 && record.time_ns > options_.until_ns) {
      finished = true;
      break;
    }
    if (deliver(record)) return has_line = true;
  }
  maybe_more = false;
  if (!options_.follow || retired || finished) has_line = flush_partial();
  return has_line;
}

}  // namespace engine::logs
