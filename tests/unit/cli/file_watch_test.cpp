#include "compose/cli/file_watch.h"

#include <sys/stat.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/support/support.h"

using compose::cli::FileWatch;
using Paths = std::set<std::string>;

namespace {

struct Watched {
  support::TempDir dir;
  std::string root = dir.path() / "root";
  FileWatch watch;

  explicit Watched(FileWatch::Skip skip = {}) : watch(*FileWatch::open(std::move(skip))) {
    std::filesystem::create_directory(root);
    REQUIRE(watch.add(root));
  }
  /// Names below the folder of the test.
  Paths take() {
    Paths names;
    const auto changed = watch.take();
    REQUIRE(changed);
    for (const auto& path : *changed) names.insert(path.substr(dir.path().string().size() + 1));
    return names;
  }
};

}  // namespace

TEST_CASE("files that are written, changed and removed are told of once they are whole", "[watch]") {
  Watched w;
  CHECK(w.take().empty());
  w.dir.write("root/a", "1");
  CHECK(w.take() == Paths{"root/a"});
  CHECK(w.take().empty());
  REQUIRE(::chmod((w.root + "/a").c_str(), 0700) == 0);
  CHECK(w.take() == Paths{"root/a"});
  std::filesystem::rename(w.root + "/a", w.root + "/b");
  CHECK(w.take() == Paths{"root/a", "root/b"});
  std::filesystem::remove(w.root + "/b");
  CHECK(w.take() == Paths{"root/b"});
}

TEST_CASE("new folders are watched with what is in them, and those that moved away no more", "[watch]") {
  Watched w;
  w.dir.write("root/d/e/f", "1");
  CHECK(w.take() == Paths{"root/d", "root/d/e", "root/d/e/f"});
  w.dir.write("root/d/e/g", "1");
  CHECK(w.take() == Paths{"root/d/e/g"});
  std::filesystem::rename(w.root + "/d", w.dir.path() / "away");
  CHECK(w.take() == Paths{"root/d"});
  w.dir.write("away/e/f", "2");
  CHECK(w.take().empty());
}

TEST_CASE("a folder that is skipped is not entered", "[watch]") {
  Watched w([](const std::string& path) { return path.ends_with("/vendor"); });
  w.dir.write("root/vendor/a", "1");
  CHECK(w.take() == Paths{"root/vendor"});
  w.dir.write("root/vendor/b", "1");
  CHECK(w.take().empty());
  CHECK(w.watch.files().empty());
}

TEST_CASE("a single file is followed over its replacement, and what is missing is waited for", "[watch]") {
  Watched w;
  const auto file = w.dir.write("one", "1");
  REQUIRE(w.watch.add(file));
  w.dir.write("two", "2");
  std::filesystem::rename(w.dir.path() / "two", file);
  CHECK(w.take().contains("one"));
  w.dir.write("one", "3");
  CHECK(w.take().contains("one"));
  REQUIRE(w.watch.add((w.dir.path() / "later" / "deeper").string()));
  w.dir.write("later/deeper/f", "1");
  CHECK(w.take().contains("later/deeper/f"));
  w.dir.write("later/deeper/g", "1");
  CHECK(w.take() == Paths{"later/deeper/g"});
}

TEST_CASE("when the kernel lost count, every file is told of", "[watch]") {
  Watched w;
  const auto limit = base::sys::read_file("/proc/sys/fs/inotify/max_queued_events");
  REQUIRE(limit);
  w.dir.write("root/a", "1");
  w.dir.write("root/b", "1");
  w.dir.write("root/c", "1");
  (void)w.take();
  // Equal events that follow one another are one; these alternate.
  for (long i = 0; i <= std::stol(*limit) + 1; ++i) REQUIRE(::chmod((w.root + (i % 2 == 0 ? "/a" : "/b")).c_str(), 0600) == 0);
  CHECK(w.take() == Paths{"root/a", "root/b", "root/c"});
}
