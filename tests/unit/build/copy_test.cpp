#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "base/sys.h"
#include "engine/build/copy.h"
#include "engine/build/digest.h"
#include "tests/support/support.h"

using namespace engine::build;
namespace fs = std::filesystem;

namespace {

std::string read(const fs::path& path) {
  const auto text = base::sys::read_file(path);
  return text ? *text : "error: " + text.error().text();
}

struct Folders {
  support::TempDir temp;
  UniqueFd from, to;
  IgnoreRules ignore;

  Folders() {
    fs::create_directories(temp.path() / "from");
    fs::create_directories(temp.path() / "to");
    from = *base::sys::open(temp.path() / "from", O_RDONLY | O_DIRECTORY);
    to = *base::sys::open(temp.path() / "to", O_RDONLY | O_DIRECTORY);
  }
  void write(const std::string& path, const std::string& text) const { temp.write("from/" + path, text); }
  [[nodiscard]] fs::path in(const std::string& path) const { return temp.path() / "to" / path; }
  [[nodiscard]] Tree tree() const { return {.root = from.borrow(), .ignore = &ignore, .xattrs = false}; }
  [[nodiscard]] CopyTarget target(const std::string& path) const {
    return {.root = to.borrow(), .path = path, .owner = Owner{::geteuid(), ::getegid(), {}}, .chmod = {}, .mtime_s = {}};
  }
  /// Everything below "to": "d dir", "f path", "l path -> target", sorted.
  [[nodiscard]] std::string listing() const {
    std::set<std::string> lines;
    for (const auto& entry : fs::recursive_directory_iterator(temp.path() / "to")) {
      const std::string path = entry.path().lexically_relative(temp.path() / "to").string();
      if (entry.is_symlink()) lines.insert(path + " -> " + fs::read_symlink(entry.path()).string());
      else lines.insert(path + (entry.is_directory() ? "/" : ""));
    }
    std::string text;
    for (const auto& line : lines) text += line + "\n";
    return text;
  }
  std::string copy(const std::string& source, const std::string& to_path) const {
    const auto found = find_sources(tree(), source);
    if (!found) return found.error().text();
    for (const auto& path : *found) {
      const auto item = list_item(tree(), path);
      if (!item) return item.error().text();
      if (const auto done = copy_item(tree(), *item, target(to_path)); !done) return done.error().text();
    }
    return "";
  }
};

}  // namespace

TEST_CASE("COPY puts files where Docker does", "[build]") {
  Folders f;
  f.write("a", "A");
  f.write("b1", "1");
  f.write("b2", "2");
  f.write("d/x", "X");
  f.write("d/sub/y", "Y");
  fs::create_symlink("x", f.temp.path() / "from/d/l");
  SECTION("a file to a name") {
    CHECK(f.copy("a", "/n").empty());
    CHECK(f.listing() == "n\n");
    CHECK(read(f.in("n")) == "A");
  }
  SECTION("a file to a folder with a slash") {
    CHECK(f.copy("a", "/p/q/").empty());
    CHECK(f.listing() == "p/\np/q/\np/q/a\n");
  }
  SECTION("a file to an existing folder without a slash") {
    fs::create_directories(f.in("p"));
    CHECK(f.copy("a", "/p").empty());
    CHECK(f.listing() == "p/\np/a\n");
  }
  SECTION("a folder's contents, nested links kept") {
    CHECK(f.copy("d", "/p").empty());
    CHECK(f.listing() == "p/\np/l -> x\np/sub/\np/sub/y\np/x\n");
  }
  SECTION("a pattern") {
    CHECK(f.copy("b*", "/p/").empty());
    CHECK(f.listing() == "p/\np/b1\np/b2\n");
    CHECK(f.copy("z*", "/q/").empty());
  }
  SECTION("a pattern in folders") {
    CHECK(f.copy("*/su?/y", "/p/").empty());
    CHECK(f.listing() == "p/\np/y\n");
  }
  SECTION("an existing file is replaced, an existing link is not written through when nested") {
    f.write("d2/x", "new");
    fs::create_directories(f.in("p"));
    fs::create_symlink("/etc/passwd", f.in("p/x"));
    CHECK(f.copy("d2", "/p").empty());
    CHECK(f.listing() == "p/\np/x\n");
    CHECK(read(f.in("p/x")) == "new");
  }
  SECTION("a folder never replaces a file, nor the reverse") {
    std::ofstream(f.in("x")) << "file";
    CHECK(f.copy("d", "/x") == "cannot copy to non-directory: /x");
    fs::create_directories(f.in("p/x"));
    CHECK(f.copy("d", "/p").find("cannot overwrite directory") == 0);
  }
  SECTION("an existing folder below the target becomes the source's, the target itself keeps its mode") {
    fs::permissions(f.temp.path() / "from/d/sub", fs::perms(0750));
    fs::create_directories(f.in("p/sub"));
    fs::permissions(f.in("p"), fs::perms(0700));
    fs::permissions(f.in("p/sub"), fs::perms(0777));
    CHECK(f.copy("d", "/p").empty());
    CHECK(fs::status(f.in("p")).permissions() == fs::perms(0700));
    CHECK(fs::status(f.in("p/sub")).permissions() == fs::perms(0750));
    CHECK(fs::last_write_time(f.in("p")) == fs::last_write_time(f.temp.path() / "from/d"));
  }
  SECTION("a dangling link in the target's place is followed") {
    fs::create_directories(f.in("t"));
    fs::create_symlink("/t/real", f.in("link"));
    CHECK(f.copy("a", "/link").empty());
    CHECK(f.listing() == "link -> /t/real\nt/\nt/real\n");
  }
  SECTION("what is missing is named as BuildKit names it") {
    CHECK(f.copy("nope", "/p") == "\"/nope\": not found");
    CHECK(f.copy("../../etc/passwd", "/p") == "\"/etc/passwd\": not found");
  }
}

TEST_CASE("links in a context cannot lead out of it", "[build]") {
  Folders f;
  f.temp.write("secret", "outside");
  f.write("inside/secret", "inside");
  fs::create_symlink("/inside", f.temp.path() / "from/abs");
  fs::create_symlink("../secret", f.temp.path() / "from/up");
  fs::create_symlink(f.temp.path() / "secret", f.temp.path() / "from/host");
  fs::create_symlink("..", f.temp.path() / "from/parent");
  CHECK(f.copy("abs", "/a/").empty());  // an absolute link means the context's root
  CHECK(read(f.in("a/secret")) == "inside");
  CHECK(f.copy("up", "/b") == "\"/up\": not found");
  CHECK(f.copy("host", "/b") == "\"/host\": not found");
  CHECK(f.copy("parent/secret", "/b") == "\"/parent/secret\": not found");
}

TEST_CASE("links in the destination stay inside the image", "[build]") {
  Folders f;
  f.write("a", "A");
  fs::create_directories(f.in("real"));
  fs::create_symlink("/real", f.in("abs"));
  fs::create_symlink("/made/later", f.in("dangling"));
  fs::create_symlink("../../../..", f.in("up"));
  CHECK(f.copy("a", "/abs/").empty());
  CHECK(read(f.in("real/a")) == "A");
  CHECK(f.copy("a", "/dangling/").empty());
  CHECK(read(f.in("made/later/a")) == "A");
  CHECK(f.copy("a", "/up/x").empty());
  CHECK(read(f.in("x")) == "A");
}

TEST_CASE("a link to a file in the destination is written through, inside the image", "[build]") {
  Folders f;
  f.write("a", "A");
  std::ofstream(f.in("real")) << "old";
  fs::create_symlink("/real", f.in("link"));
  CHECK(f.copy("a", "/link").empty());
  CHECK(read(f.in("real")) == "A");
  CHECK(fs::is_symlink(f.in("link")));
}

TEST_CASE("modes, times and hard links are kept", "[build]") {
  Folders f;
  f.write("d/a", "A");
  f.write("d/run", "R");
  ::chmod((f.temp.path() / "from/d/run").c_str(), 04751);
  fs::create_hard_link(f.temp.path() / "from/d/a", f.temp.path() / "from/d/z");
  const timespec old[2] = {{1000, 5}, {1000, 5}};
  ::utimensat(AT_FDCWD, (f.temp.path() / "from/d/a").c_str(), old, 0);
  const auto mask = ::umask(0);
  CHECK(f.copy("d", "/p").empty());
  ::umask(mask);
  struct stat a {}, z {}, run {};
  REQUIRE(::stat(f.in("p/a").c_str(), &a) == 0);
  REQUIRE(::stat(f.in("p/z").c_str(), &z) == 0);
  REQUIRE(::stat(f.in("p/run").c_str(), &run) == 0);
  CHECK(a.st_ino == z.st_ino);
  CHECK(a.st_mtim.tv_sec == 1000);
  CHECK(a.st_mtim.tv_nsec == 5);
  CHECK((run.st_mode & 07777) == 04751);
}

TEST_CASE("--chmod covers folders that are made", "[build]") {
  Folders f;
  f.write("a", "A");
  auto target = f.target("/n/m/");
  target.chmod = *ModeChange::parse("0750");
  const auto item = list_item(f.tree(), "a");
  REQUIRE(item);
  REQUIRE(copy_item(f.tree(), *item, target));
  struct stat info {};
  REQUIRE(::stat(f.in("n").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0750);
  REQUIRE(::stat(f.in("n/m/a").c_str(), &info) == 0);
  CHECK((info.st_mode & 07777) == 0750);
}

TEST_CASE("--parents keeps the path after the pivot", "[build]") {
  Folders f;
  f.write("x/y/z/f", "F");
  f.write("x/y/g", "G");
  const auto put = [&](const std::string& pattern) {
    const auto found = find_sources(f.tree(), pattern, true);
    REQUIRE(found);
    for (const auto& path : *found) {
      const auto item = list_item(f.tree(), path);
      REQUIRE(item);
      REQUIRE(copy_with_parents(f.tree(), *item, pattern, f.target("/p/")));
    }
  };
  SECTION("whole") {
    put("x/y/z/f");
    CHECK(f.listing() == "p/\np/x/\np/x/y/\np/x/y/z/\np/x/y/z/f\n");
  }
  SECTION("pivot") {
    put("x/./y/z/f");
    CHECK(f.listing() == "p/\np/y/\np/y/z/\np/y/z/f\n");
  }
  SECTION("any depth") {
    put("**/g");
    CHECK(f.listing() == "p/\np/x/\np/x/y/\np/x/y/g\n");
  }
}

TEST_CASE("ignored files are not there, except what is taken back", "[build]") {
  Folders f;
  f.write("keep", "1");
  f.write("node_modules/a/b", "2");
  f.write("docs/secret", "3");
  f.write("docs/open", "4");
  f.ignore = *IgnoreRules::parse("node_modules\ndocs\n!docs/open\n");
  CHECK(f.copy(".", "/p").empty());
  CHECK(f.listing() == "p/\np/docs/\np/docs/open\np/keep\n");
  CHECK(f.copy("node_modules", "/q").find("\"/node_modules\": not found") == 0);
  CHECK(f.copy("docs/secret", "/q") == "\"/docs/secret\": not found (excluded by .dockerignore)");
}

TEST_CASE("content keys see contents, names, modes and links; not times", "[build]") {
  Folders f;
  f.write("d/a", "A");
  f.write("d/b", "B");
  const auto key = [&] {
    const auto item = list_item(f.tree(), "d");
    REQUIRE(item);
    const auto digest = digest_item(*item, nullptr);
    REQUIRE(digest);
    return *digest;
  };
  const std::string before = key();
  const timespec old[2] = {{1000, 5}, {1000, 5}};
  ::utimensat(AT_FDCWD, (f.temp.path() / "from/d/a").c_str(), old, 0);
  CHECK(key() == before);
  f.write("d/a", "AA");
  const std::string changed = key();
  CHECK(changed != before);
  ::chmod((f.temp.path() / "from/d/a").c_str(), 0755);
  CHECK(key() != changed);
  const std::string mode = key();
  fs::rename(f.temp.path() / "from/d/b", f.temp.path() / "from/d/c");
  CHECK(key() != mode);
}

TEST_CASE("digests are remembered for settled files only", "[build]") {
  Folders f;
  f.write("a", "A");
  struct stat info {};
  REQUIRE(::stat((f.temp.path() / "from/a").c_str(), &info) == 0);
  StatCache cache;
  cache.add(info, Sha256{1});
  CHECK_FALSE(cache.find(info).has_value());  // just written: a second write could leave the same times
  info.st_mtim.tv_sec = info.st_ctim.tv_sec = 1000;
  cache.add(info, Sha256{2});
  CHECK(cache.find(info) == Sha256{2});
  const auto file = f.temp.path() / "cache";
  REQUIRE(cache.save(file));
  StatCache again = StatCache::load(file);
  CHECK(again.find(info) == Sha256{2});
  info.st_size += 1;
  CHECK_FALSE(again.find(info).has_value());
  f.temp.write("cache", "damaged");
  StatCache damaged = StatCache::load(file);
  info.st_size -= 1;
  CHECK_FALSE(damaged.find(info).has_value());
}

TEST_CASE("--chmod reads octal and symbolic modes", "[build]") {
  const auto apply = [](const std::string& text, std::uint32_t mode, bool folder) -> std::uint32_t {
    const auto change = ModeChange::parse(text);
    return change ? change->apply(mode, folder) : 99999;
  };
  CHECK(apply("644", 0777, false) == 0644);
  CHECK(apply("u=rwX,go=rX", 0600, true) == 0755);
  CHECK(apply("u=rwX,go=rX", 0600, false) == 0644);
  CHECK(apply("a+x,o-r", 0644, false) == 0751);
  CHECK(apply("u+s", 0755, false) == 04755);
  CHECK(apply("g=u", 0640, false) == 0660);
  CHECK(apply("o+g", 0750, false) == 0755);
  CHECK(apply("x", 0, false) == 99999);
  CHECK(apply("99999", 0, false) == 99999);
  CHECK(apply("u=r,", 0, false) == 99999);
}

TEST_CASE("--chown looks names up in the image", "[build]") {
  Folders f;
  fs::create_directories(f.in("etc"));
  std::ofstream(f.in("etc/passwd")) << "root:x:0:0:root:/root:/bin/sh\nguest:x:405:100:guest:/dev/null:/bin/false\n";
  std::ofstream(f.in("etc/group")) << "root:x:0:\nusers:x:100:\nstaff:x:50:\n";
  const auto owner = [&](const std::string& text) {
    const auto result = parse_owner(f.to.borrow(), text);
    if (!result) return result.error().message;
    return std::to_string(result->uid) + ":" + std::to_string(result->gid) + (result->unknown.empty() ? "" : " unknown " + result->unknown);
  };
  CHECK(owner("guest") == "405:100");
  CHECK(owner("55") == "55:55");
  CHECK(owner("55:staff") == "55:50");
  CHECK(owner("guest:7") == "405:7");
  CHECK(owner(":users") == "0:100");
  CHECK(owner("guest:") == "405:0");
  // Docker 28.5 builds these, as root: the caller says so.
  CHECK(owner("nobody") == "0:0 unknown nobody");
  CHECK(owner("1:nogroup") == "1:1 unknown nogroup");
  CHECK(owner("guest:nogroup") == "405:100 unknown nogroup");
}
