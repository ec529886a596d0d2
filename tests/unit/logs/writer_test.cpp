#include "engine/logs/writer.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <csignal>
#include <optional>
#include <random>
#include <thread>

#include "base/sys.h"
#include "engine/logs/journal.h"
#include "engine/logs/reader.h"
#include "tests/support/support.h"

using namespace engine::logs;

namespace {

/// The texts of all lines of a log, whole chain.
std::vector<std::string> lines_of(const std::filesystem::path& log) {
  LogReader reader({});
  REQUIRE(reader.add(0, log));
  std::vector<std::string> lines;
  Line line;
  while (reader.next(line) == Next::line) lines.emplace_back(line.text);
  return lines;
}

struct Folder {
  support::TempDir dir;
  Settings settings;
  [[nodiscard]] std::filesystem::path log() const { return dir.path() / "container.log"; }
  [[nodiscard]] LogWriter writer() const {
    auto opened = LogWriter::open({log(), dir.path() / "log.journal", settings});
    REQUIRE(opened);
    return *std::move(opened);
  }
};

}  // namespace

TEST_CASE("what comes through a pipe is in the log line by line", "[logs]") {
  Folder folder;
  auto writer = folder.writer();
  auto ends = base::sys::pipe();
  REQUIRE(ends);
  REQUIRE(base::sys::write_all(ends->second.borrow(), "one\ntwo\nthr"));
  auto moved = writer.pump(Stream::out, ends->first.borrow());
  REQUIRE(moved);
  CHECK(*moved == "one\ntwo\nthr");
  CHECK(lines_of(folder.log()) == std::vector<std::string>{"one", "two"});
  moved = writer.pump(Stream::out, ends->first.borrow());
  REQUIRE(moved);
  CHECK(moved->empty());
  REQUIRE(base::sys::write_all(ends->second.borrow(), "ee\nend"));
  CHECK(*writer.pump(Stream::out, ends->first.borrow()) == "ee\nend");
  REQUIRE(writer.append(Stream::err, "trouble"));
  REQUIRE(writer.finish());
  CHECK(lines_of(folder.log()) == std::vector<std::string>{"one", "two", "three", "end", "trouble"});
}

TEST_CASE("an unfinished line survives the writer", "[logs]") {
  Folder folder;
  { REQUIRE(folder.writer().append(Stream::out, "half")); }
  {
    auto writer = folder.writer();
    REQUIRE(writer.append(Stream::out, " and half\n"));
  }
  CHECK(lines_of(folder.log()) == std::vector<std::string>{"half and half"});
}

TEST_CASE("one journal has one writer", "[logs]") {
  Folder folder;
  const auto writer = folder.writer();
  const auto second = LogWriter::open({folder.log(), folder.dir.path() / "log.journal", {}});
  REQUIRE_FALSE(second);
  CHECK(second.error().kind == base::ErrorKind::exhausted);
}

TEST_CASE("a log is rotated at its size and keeps its number of files", "[logs]") {
  Folder folder;
  folder.settings = {Driver::cri, 2000, 3};
  auto writer = folder.writer();
  for (int i = 0; i < 200; ++i) REQUIRE(writer.append(Stream::out, "line " + std::to_string(i) + "\n"));
  CHECK(std::filesystem::file_size(folder.log()) <= 2000);
  CHECK(std::filesystem::file_size(folder.log().string() + ".1") <= 2000);
  CHECK(std::filesystem::file_size(folder.log().string() + ".2") <= 2000);
  CHECK_FALSE(std::filesystem::exists(folder.log().string() + ".3"));
  const auto lines = lines_of(folder.log());
  CHECK(lines.size() > 80);
  CHECK(lines.back() == "line 199");
  for (std::size_t i = 0; i < lines.size(); ++i)
    CHECK(lines[i] == "line " + std::to_string(200 - lines.size() + i));
}

TEST_CASE("with one file rotation starts it anew", "[logs]") {
  Folder folder;
  folder.settings = {Driver::json_file, 1000, 1};
  auto writer = folder.writer();
  for (int i = 0; i < 50; ++i) REQUIRE(writer.append(Stream::out, "line " + std::to_string(i) + "\n"));
  CHECK(std::filesystem::file_size(folder.log()) <= 1000);
  CHECK_FALSE(std::filesystem::exists(folder.log().string() + ".1"));
  CHECK(lines_of(folder.log()).back() == "line 49");
}

TEST_CASE("without a journal a torn last record is cut off", "[logs]") {
  Folder folder;
  { REQUIRE(folder.writer().append(Stream::out, "good\n")); }
  std::filesystem::remove(folder.dir.path() / "log.journal");
  {
    const auto file = base::sys::open(folder.log(), O_WRONLY | O_APPEND);
    REQUIRE(base::sys::write_all(file->borrow(), "2026-11-22T12:00:39.402178000Z std"));
  }
  REQUIRE(folder.writer().append(Stream::out, "next\n"));
  CHECK(lines_of(folder.log()) == std::vector<std::string>{"good", "next"});
}

TEST_CASE("a log truncated by hand goes on from there", "[logs]") {
  Folder folder;
  auto writer = folder.writer();
  REQUIRE(writer.append(Stream::out, "before\n"));
  REQUIRE(::truncate(folder.log().c_str(), 0) == 0);
  REQUIRE(writer.append(Stream::out, "after\n"));
  CHECK(lines_of(folder.log()) == std::vector<std::string>{"after"});
}

TEST_CASE("the driver none drains and keeps nothing", "[logs]") {
  Folder folder;
  folder.settings.driver = Driver::none;
  auto writer = folder.writer();
  auto ends = base::sys::pipe();
  for (int i = 0; i < 100; ++i) {
    REQUIRE(base::sys::write_all(ends->second.borrow(), std::string(30000, 'x')));
    CHECK(writer.pump(Stream::out, ends->first.borrow())->size() == 30000);
  }
  CHECK_FALSE(std::filesystem::exists(folder.log()));
}

// The point of the whole design: kill -9 at any instruction loses no line and doubles none.
TEST_CASE("a writer killed again and again loses no line and doubles none", "[logs]") {
  Folder folder;
  folder.settings = {Driver::cri, 300'000, 1000};
  REQUIRE(::mkfifo((folder.dir.path() / "out").c_str(), 0600) == 0);
  const auto fifo = base::sys::open(folder.dir.path() / "out", O_RDWR | O_NONBLOCK);
  REQUIRE(fifo);
  constexpr int count = 400'000;
  const pid_t producer = ::fork();
  REQUIRE(producer >= 0);
  if (producer == 0) {
    auto out = base::sys::open(folder.dir.path() / "out", O_WRONLY);
    std::string block;
    for (int i = 0; i < count; ++i) {
      block += "line " + std::to_string(i) + (i % 1000 == 7 ? std::string(20000, '.') : "") + "\n";
      if (block.size() < 3000 && i + 1 < count) continue;
      (void)!base::sys::write_all(out->borrow(), block);
      block.clear();
    }
    ::_exit(0);
  }
  std::mt19937 random(42);
  int kills = 0, status = 0;
  bool produced = false;
  while (!produced) {
    // Longer and longer, so that a slow machine gets on as well.
    const auto delay = random() % static_cast<unsigned>(1500 + 10 * kills);
    const pid_t writer = ::fork();
    REQUIRE(writer >= 0);
    if (writer == 0) {
      // The alarm's default action ends a process as SIGKILL does, at any instruction, without the test having to sleep.
      const itimerval alarm{{0, 0}, {0, static_cast<suseconds_t>(1 + delay)}};
      ::setitimer(ITIMER_REAL, &alarm, nullptr);
      auto opened = LogWriter::open({folder.log(), folder.dir.path() / "log.journal", folder.settings});
      if (!opened) ::_exit(3);
      while (true) (void)opened->pump(Stream::out, fifo->borrow()).has_value();
    }
    REQUIRE(::waitpid(writer, &status, 0) == writer);
    CHECK(WIFSIGNALED(status));
    ++kills;
    produced = ::waitpid(producer, &status, WNOHANG) == producer;
  }
  auto writer = folder.writer();
  while (!writer.pump(Stream::out, fifo->borrow())->empty()) {
  }
  const auto lines = lines_of(folder.log());
  INFO("killed " << kills << " times");
  CHECK(kills > 20);
  REQUIRE(lines.size() == count);
  int wrong = 0;
  for (int i = 0; i < count; ++i)
    wrong += lines[static_cast<std::size_t>(i)] !=
             "line " + std::to_string(i) + (i % 1000 == 7 ? std::string(20000, '.') : "");
  CHECK(wrong == 0);
}

TEST_CASE("a journal that is closed is free, whatever copies of its descriptor a child of that moment holds", "[logs]") {
  Folder folder;
  const auto path = folder.dir.path() / "log.journal";
  std::optional<Journal> journal = *Journal::open(path);
  const pid_t child = ::fork();
  if (child == 0) {
    ::pause();
    ::_exit(0);
  }
  journal.reset();
  const auto again = Journal::open(path);
  CHECK(again);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
}

TEST_CASE("a journal waits a while for its last owner, and not for ever", "[logs]") {
  Folder folder;
  const auto path = folder.dir.path() / "log.journal";
  { REQUIRE(Journal::open(path)); }
  base::UniqueFd owner = *base::sys::open(path, O_RDWR);
  REQUIRE(::flock(owner.number(), LOCK_EX | LOCK_NB) == 0);
  const auto refused = Journal::open(path);
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == base::ErrorKind::exhausted);
  CHECK(refused.error().text() == path.string() + " is held by another process");
  std::thread dying([&] {
    (void)::poll(nullptr, 0, 20);
    owner.reset();
  });
  CHECK(Journal::open(path));
  dying.join();
}
