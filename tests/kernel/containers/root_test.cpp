#include "engine/containers/root.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "tests/kernel/containers/world.h"

using namespace engine::containers;

namespace {

std::string text_in(const base::UniqueFd& root, const std::string& path) {
  const auto text = base::sys::read_file_at(root.borrow(), path);
  return text ? *text : "<" + text.error().text() + ">";
}

bool write_in(const base::UniqueFd& root, const std::string& path) {
  return base::sys::write_file_at(root.borrow(), path, "new").has_value();
}

}  // namespace

TEST_CASE("a root shows the upper layers over the lower ones and keeps writes in its own", "[containers]") {
  NEEDS_ROOT();
  const auto before = support::kernel_leftovers();
  {
    World world;
    world.dir.write("layer2/etc/passwd", "second");
    REQUIRE(::mknod((world.dir.path() / "layer2/gone").c_str(), S_IFCHR, makedev(0, 0)) == 0);
    for (const bool legacy : {false, true}) {
      INFO("legacy " << legacy);
      const auto writable = writable_layer(world.id + (legacy ? "x" : ""));
      const auto root = legacy ? mount_root_legacy(world.image.layer_dirs, writable) : mount_root(world.image.layer_dirs, writable);
      INFO((root ? "" : root.error().text()));
      REQUIRE(root);
      CHECK(text_in(*root, "etc/passwd") == "second");
      CHECK(text_in(*root, "data/seed") == "from the image");
      CHECK(text_in(*root, "gone").starts_with("<"));
      CHECK(write_in(*root, "etc/passwd"));
      CHECK(write_in(*root, "fresh"));
      CHECK(std::filesystem::exists(writable.upper / "fresh"));
      CHECK(*base::sys::read_file(world.dir.path() / "layer2/etc/passwd") == "second");
    }
    const auto again = open_stopped_root(world.id, world.image.layer_dirs);
    REQUIRE(again);
    CHECK(text_in(*again, "fresh") == "new");
    const auto mounts = base::sys::read_file("/proc/self/mounts");
    CHECK(mounts->find(world.dir.path().string()) == std::string::npos);
  }
  CHECK(support::kernel_leftovers() == before);
}

TEST_CASE("roots of any number of layers can be mounted", "[containers]") {
  NEEDS_ROOT();
  World world;
  SECTION("none: FROM scratch") {
    const auto root = mount_root({}, writable_layer(world.id));
    REQUIRE(root);
    CHECK(write_in(*root, "file"));
  }
  SECTION("one, read-only") {
    const auto root = mount_root({world.dir.path() / "layer1"}, {});
    REQUIRE(root);
    CHECK(text_in(*root, "data/seed") == "from the image");
    CHECK_FALSE(write_in(*root, "file"));
  }
  SECTION("two, read-only") {
    const auto root = mount_root(world.image.layer_dirs, {});
    REQUIRE(root);
    CHECK(text_in(*root, "app/conf") == "second layer");
    CHECK_FALSE(write_in(*root, "file"));
  }
  SECTION("a hundred, with paths too long for fsconfig") {
    std::vector<std::filesystem::path> layers;
    const auto deep = std::filesystem::path(std::string(120, 'd')) / std::string(120, 'e');
    for (int i = 0; i < 100; ++i) {
      std::string name(1, 'f');
      name += std::to_string(i);
      world.dir.write(deep / std::to_string(i) / name, "x");
      layers.push_back(world.dir.path() / deep / std::to_string(i));
    }
    const WritableLayer writable{world.dir.path() / deep / "c/upper", world.dir.path() / deep / "c/work"};
    for (const bool legacy : {false, true}) {
      const auto root = legacy ? mount_root_legacy(layers, writable) : mount_root(layers, writable);
      INFO((root ? "" : root.error().text()));
      REQUIRE(root);
      CHECK(text_in(*root, "f0") == "x");
      CHECK(text_in(*root, "f99") == "x");
    }
  }
  SECTION("a missing one is an error that names it") {
    const auto root = mount_root({world.dir.path() / "nowhere"}, writable_layer(world.id));
    REQUIRE_FALSE(root);
    CHECK(root.error().kind == base::ErrorKind::not_found);
    CHECK(root.error().text().find("nowhere") != std::string::npos);
  }
}

TEST_CASE("the changes of a container are those of docker diff", "[containers]") {
  NEEDS_ROOT();
  World world;
  {
    const auto root = mount_root(world.image.layer_dirs, writable_layer(world.id));
    REQUIRE(root);
    REQUIRE(write_in(*root, "etc/passwd"));
    REQUIRE(base::sys::wrap("mkdir", ::mkdirat(root->number(), "etc/new", 0755)));
    REQUIRE(write_in(*root, "etc/new/file"));
    REQUIRE(base::sys::wrap("unlink", ::unlinkat(root->number(), "gone", 0)));
  }
  const auto changed = changes(world.id, world.image.layer_dirs);
  REQUIRE(changed);
  std::string text;
  for (const auto& change : *changed) text += static_cast<char>(change.kind) + (" " + change.path + "\n");
  CHECK(text == "C /etc\nA /etc/new\nA /etc/new/file\nC /etc/passwd\nD /gone\n");
  CHECK(*size_of_changes(world.id) == 6);
  CHECK(changes("never-started", world.image.layer_dirs)->empty());
  REQUIRE(remove_files(world.id));
  CHECK_FALSE(std::filesystem::exists(writable_layer(world.id).upper));
}
