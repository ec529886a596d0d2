#include "engine/logs/reader.h"

#include <fcntl.h>
#include <poll.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/logs/writer.h"
#include "tests/support/support.h"

using namespace engine::logs;

namespace {

constexpr std::int64_t second = 1'000'000'000;

/// One CRI record; `at` in seconds.
std::string record(std::int64_t at, std::string_view text, char tag = 'F', std::string_view stream = "stdout") {
  return format_time(at * second) + " " + std::string(stream) + " " + tag + " " + std::string(text) + "\n";
}

std::string read_all(LogReader& reader) {
  std::string out;
  Line line;
  while (reader.next(line) == Next::line) out += std::to_string(line.source) + ":" + std::string(line.text) + " ";
  return out;
}

std::string read(const std::filesystem::path& log, const ReadOptions& options) {
  LogReader reader(options);
  REQUIRE(reader.add(0, log));
  return read_all(reader);
}

/// Waits for the next line of a following reader.
std::string follow_one(LogReader& reader) {
  Line line;
  while (true) {
    const auto next = reader.next(line);
    if (next == Next::line) return std::string(line.text);
    if (next == Next::end) return "END";
    pollfd waiting{reader.wait_fd().number(), POLLIN, 0};
    if (::poll(&waiting, 1, 5000) <= 0) return "TIMEOUT";
  }
}

}  // namespace

TEST_CASE("logs of several containers are merged by time", "[logs]") {
  support::TempDir dir;
  const auto a = dir.write("a/log", record(1, "a1") + record(4, "a4") + record(5, "a5"));
  const auto b = dir.write("b/log", record(2, "b2") + record(3, "b3") + record(5, "b5"));
  LogReader reader({});
  REQUIRE(reader.add(0, a));
  REQUIRE(reader.add(1, b));
  CHECK(read_all(reader) == "0:a1 1:b2 1:b3 0:a4 0:a5 1:b5 ");
}

TEST_CASE("a tail counts whole lines over rotated files", "[logs]") {
  support::TempDir dir;
  const auto log = dir.write("log", record(5, "e") + record(6, "half", 'P') + record(6, "-whole"));
  dir.write("log.1", record(3, "c") + record(4, "d"));
  dir.write("log.2", record(1, "a") + record(2, "b"));
  CHECK(read(log, {}) == "0:a 0:b 0:c 0:d 0:e 0:half-whole ");
  CHECK(read(log, {.tail = 0}).empty());
  CHECK(read(log, {.tail = 1}) == "0:half-whole ");
  CHECK(read(log, {.tail = 2}) == "0:e 0:half-whole ");
  CHECK(read(log, {.tail = 3}) == "0:d 0:e 0:half-whole ");
  CHECK(read(log, {.tail = 6}) == read(log, {}));
  CHECK(read(log, {.tail = 60}) == read(log, {}));
}

TEST_CASE("what is written after the look at a log is not shown, unless it is followed", "[logs]") {
  support::TempDir dir;
  const auto log = dir.write("log", record(1, "a") + record(2, "b") + record(3, "c"));
  LogReader tail({.tail = 2}), whole({}), following({.tail = 1, .follow = true});
  for (auto* reader : {&tail, &whole, &following}) REQUIRE(reader->add(0, log));
  auto file = base::sys::open(log, O_WRONLY | O_APPEND);
  REQUIRE(file);
  REQUIRE(base::sys::write_all(file->borrow(), record(4, "d")));
  CHECK(read_all(tail) == "0:b 0:c ");
  CHECK(read_all(whole) == "0:a 0:b 0:c ");
  CHECK(follow_one(following) == "c");
  CHECK(follow_one(following) == "d");
}

TEST_CASE("a tail of a large log agrees with the whole", "[logs]") {
  support::TempDir dir;
  std::string text;
  for (int i = 0; i < 20000; ++i) text += record(i, "line " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 97), 'x'));
  const auto log = dir.write("log", text + "2026-11-22T12:00:39.402178000Z std");
  const auto all = read(log, {});
  for (const std::size_t tail : {1u, 10u, 999u, 5000u}) {
    const auto some = read(log, {.tail = tail});
    CHECK(all.ends_with(some));
    CHECK(static_cast<std::size_t>(std::count(some.begin(), some.end(), ':')) == tail);
  }
}

TEST_CASE("since and until choose by time", "[logs]") {
  support::TempDir dir;
  std::string old_text, text;
  for (int i = 0; i < 5000; ++i) old_text += record(i, std::to_string(i));
  for (int i = 5000; i < 10000; ++i) text += record(i, std::to_string(i));
  const auto log = dir.write("log", text);
  dir.write("log.1", old_text);
  CHECK(read(log, {.since_ns = 9998 * second}) == "0:9998 0:9999 ");
  CHECK(read(log, {.since_ns = 4998 * second, .until_ns = 5001 * second}) == "0:4998 0:4999 0:5000 0:5001 ");
  CHECK(read(log, {.until_ns = 1 * second}) == "0:0 0:1 ");
  CHECK(read(log, {.since_ns = 20000 * second}).empty());
  CHECK(read(log, {.tail = 3, .since_ns = 9998 * second}) == "0:9998 0:9999 ");
  CHECK(read(log, {.tail = 1, .since_ns = 2 * second}) == "0:9999 ");
}

TEST_CASE("a missing log is empty, a missing folder an error", "[logs]") {
  support::TempDir dir;
  CHECK(read(dir.path() / "nothing", {}).empty());
  LogReader reader({.follow = true});
  CHECK_FALSE(reader.add(0, dir.path() / "no" / "where"));
}

TEST_CASE("following sees new lines, rotation, and logs added meanwhile", "[logs]") {
  support::TempDir dir;
  auto writer = LogWriter::open({dir.path() / "log", dir.path() / "journal", {Driver::cri, 1000, 3}});
  REQUIRE(writer);
  LogReader reader({.follow = true});
  REQUIRE(reader.add(0, dir.path() / "log"));
  for (int i = 0; i < 100; ++i) {
    REQUIRE(writer->append(Stream::out, "line " + std::to_string(i) + "\n"));
    CHECK(follow_one(reader) == "line " + std::to_string(i));
  }
  dir.write("other/x", "");
  REQUIRE(reader.add(1, dir.path() / "other" / "log"));
  Line line;
  CHECK(reader.next(line) == Next::wait);
  dir.write("other/log", record(7, "seven"));
  CHECK(follow_one(reader) == "seven");
  REQUIRE(writer->append(Stream::out, "last\n"));
  reader.retire(0);
  CHECK(follow_one(reader) == "last");
  reader.retire(1);
  CHECK(follow_one(reader) == "END");
}

TEST_CASE("a reader that lags behind several rotations misses nothing that is kept", "[logs]") {
  support::TempDir dir;
  auto writer = LogWriter::open({dir.path() / "log", dir.path() / "journal", {Driver::cri, 1000, 50}});
  REQUIRE(writer);
  LogReader reader({.follow = true});
  REQUIRE(reader.add(0, dir.path() / "log"));
  int seen = 0, written = 0;
  for (const int burst : {3, 100, 1, 300}) {
    for (int i = 0; i < burst; ++i) REQUIRE(writer->append(Stream::out, std::to_string(written++) + "\n"));
    for (int i = 0; i < burst; ++i) CHECK(follow_one(reader) == std::to_string(seen++));
  }
}

TEST_CASE("following a log that is truncated starts over", "[logs]") {
  support::TempDir dir;
  const auto log = dir.write("log", record(1, "one") + record(2, "two"));
  LogReader reader({.follow = true});
  REQUIRE(reader.add(0, log));
  CHECK(follow_one(reader) == "one");
  CHECK(follow_one(reader) == "two");
  Line line;
  CHECK(reader.next(line) == Next::wait);
  dir.write("log", record(3, "new"));
  CHECK(follow_one(reader) == "new");
}

TEST_CASE("foreign bytes in a log are skipped", "[logs]") {
  support::TempDir dir;
  const auto log = dir.write("log", "garbage\n" + record(1, "a") + std::string(100, '\0') + "\n\n" + record(2, "b") + "{\"log\":");
  CHECK(read(log, {}) == "0:a 0:b ");
}
