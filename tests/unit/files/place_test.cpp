#include "engine/files/place.h"

#include <fcntl.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "base/sys.h"
#include "tests/support/support.h"

using namespace engine::files;
namespace fs = std::filesystem;

namespace {

/// /etc/passwd, /dir/file, and links: in a "container" below a folder of the test's own, and beside it what must not be reached.
struct Tree {
  support::TempDir dir;
  base::UniqueFd fd;
  Tree() {
    const auto root = dir.path() / "root";
    fs::create_directories(root / "dir/sub");
    fs::create_directories(root / "etc");
    fs::create_directories(dir.path() / "secret");
    std::ofstream(dir.path() / "secret/key") << "key";
    std::ofstream(root / "dir/file") << "x";
    fs::create_symlink("dir", root / "to-dir");
    fs::create_symlink("/dir/file", root / "to-file");
    fs::create_symlink("nowhere", root / "dangling");
    fs::create_symlink("circle", root / "circle");
    fs::create_symlink("../../../../secret", root / "up");
    fs::create_symlink((dir.path() / "secret").string(), root / "out");
    fs::create_symlink("/proc/self/cwd", root / "magic");
    fs::create_symlink("../to-file", root / "dir/sub/two-hops");
    auto opened = base::sys::open(root, O_PATH | O_DIRECTORY);
    REQUIRE(opened);
    fd = *std::move(opened);
  }
  [[nodiscard]] Side side() const { return {.root = fd.borrow(), .container = "ID"}; }
};

std::string source(const Tree& tree, const std::string& path, bool follow = false) {
  const auto found = find_source(tree.side(), written(path, "/"), follow);
  if (!found) return found.error().text();
  return found->name + " as " + found->base + (found->directory ? " (folder)" : "");
}

std::string target(const Tree& tree, const std::string& path, bool source_is_directory = false) {
  const auto found = find_target(tree.side(), written(path, "/"), source_is_directory);
  if (!found) return found.error().text();
  const auto folder = fs::read_symlink("/proc/self/fd/" + std::to_string(found->folder.number()));
  return "/" + fs::relative(folder, tree.dir.path() / "root").string() + " " + (found->rename.empty() ? "(own name)" : found->rename);
}

std::string shown(const Written& path) {
  return path.path + (path.folder ? " folder" : "") + (path.contents ? " contents" : "");
}

}  // namespace

TEST_CASE("a written path says what it wants by how it ends", "[files]") {
  CHECK(shown(written("a/b", "/here")) == "/here/a/b");
  CHECK(shown(written("a/b/", "/here")) == "/here/a/b folder");
  CHECK(shown(written("a/b/.", "/here")) == "/here/a/b folder contents");
  CHECK(shown(written(".", "/here")) == "/here folder contents");
  CHECK(shown(written("..", "/here/there")) == "/here folder");
  CHECK(shown(written("/a/../../b", "/here")) == "/b");
  CHECK(shown(written("/", "/here")) == "/ folder contents");
}

TEST_CASE("a source is called by its own name and links are followed on request", "[files]") {
  const Tree tree;
  CHECK(source(tree, "/dir") == "dir as dir (folder)");
  CHECK(source(tree, "/dir/.") == "dir as . (folder)");
  CHECK(source(tree, "/") == ". as . (folder)");
  CHECK(source(tree, "dir/file") == "file as file");
  CHECK(source(tree, "/to-file") == "to-file as to-file");
  CHECK(source(tree, "/to-file", true) == "file as to-file");
  CHECK(source(tree, "/to-dir") == "to-dir as to-dir");
  CHECK(source(tree, "/to-dir/") == "dir as to-dir (folder)");
  CHECK(source(tree, "/to-dir/file") == "file as file");
  CHECK(source(tree, "/dir/sub/two-hops", true) == "Could not find the file /dir/sub/../to-file in container ID");
  CHECK(source(tree, "/dir/file/") == "ID:/dir/file: not a directory");
  CHECK(source(tree, "/none") == "Could not find the file /none in container ID");
  CHECK(source(tree, "/dangling", true) == "Could not find the file /nowhere in container ID");
  CHECK(source(tree, "/circle", true) == "ID:/circle: too many levels of symbolic links");
}

TEST_CASE("a target is a folder to copy into, or a name in one", "[files]") {
  const Tree tree;
  CHECK(target(tree, "/dir") == "/dir (own name)");
  CHECK(target(tree, "/to-dir") == "/dir (own name)");
  CHECK(target(tree, "/dir/file") == "/dir file");
  CHECK(target(tree, "/to-file") == "/dir file");
  CHECK(target(tree, "/new") == "/. new");
  CHECK(target(tree, "/dangling") == "/. nowhere");
  CHECK(target(tree, "/new", true) == "/. new");
  CHECK(target(tree, "/new/", true) == "/. new");
  CHECK(target(tree, "/new/") == "no such directory");
  CHECK(target(tree, "/dir/file", true) == "cannot copy directory");
  CHECK(target(tree, "/none/new") == "Could not find the file /none in container ID");
  CHECK(target(tree, "/dir/file/new") == "extraction point is not a directory");
}

TEST_CASE("no link of a container leads out of it", "[files]") {
  const Tree tree;
  for (const std::string link : {"/up", "/out"}) {
    CHECK(source(tree, link + "/key").starts_with("Could not find the file"));
    CHECK(source(tree, link, true).starts_with("Could not find the file"));
    CHECK_FALSE(target(tree, link + "/new").starts_with("/"));
  }
  CHECK_FALSE(find_source(tree.side(), written("/magic/key", "/"), false));
  CHECK_FALSE(find_folder(tree.side(), written("/magic", "/")));
}
