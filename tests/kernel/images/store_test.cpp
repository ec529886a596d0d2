// The image store on disk: names, removal, collection, archives.
#include <catch2/catch.hpp>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/images/image_store.h"
#include "engine/images/usage.h"
#include "engine/registry/archive.h"
#include "engine/registry/gzip_writer.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace engine;
using base::ErrorKind;
using images::ImageStore;

namespace {

/// A registered layer with one file.
std::string make_layer(ImageStore& images, const std::string& parent, const std::string& content) {
  auto folder = ImageStore::new_layer_dir();
  REQUIRE(folder);
  REQUIRE(base::sys::write_file(*folder / "file", content));
  auto chain = images.add_layer(*folder, {.parent_chain_id = parent, .diff_id = images::sha256_digest(content), .size_bytes = 10});
  REQUIRE(chain);
  return *chain;
}

std::string make_image(ImageStore& images, const std::string& name, const std::vector<std::string>& contents, const std::string& label = "") {
  images::ImageConfig config;
  config.labels["l"] = label;
  images::NewImage image;
  std::string parent;
  for (const auto& content : contents) {
    config.diff_ids.push_back(images::sha256_digest(content));
    parent = make_layer(images, parent, content);
    image.chain_ids.push_back(parent);
  }
  image.config_json = images::to_json(config);
  if (!name.empty()) image.references = {name};
  auto id = images.add(image);
  REQUIRE(id);
  return *id;
}

std::size_t layer_folders() {
  std::size_t count = 0;
  for (const auto& one : std::filesystem::directory_iterator(paths::layers())) count += one.is_directory() ? 1 : 0;
  return count;
}

}  // namespace

TEST_CASE("an image is found by name, id and prefix", "[images]") {
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  const auto id = make_image(images, "app:1", {"a", "b"});
  CHECK(images.resolve("app:1")->id == id);
  CHECK(images.resolve("docker.io/library/app:1")->id == id);
  CHECK(images.resolve(id)->id == id);
  CHECK(images.resolve(id.substr(7))->id == id);
  CHECK(images.resolve(id.substr(7, 12))->id == id);
  CHECK(images.resolve("app:1")->layer_dirs.size() == 2);
  CHECK(images.resolve("app:2").error().message == "no such image: app:2");
  CHECK(images.resolve("sha256:beef").error().kind == ErrorKind::not_found);
  CHECK(images.resolve("Not A Name").error().kind == ErrorKind::invalid);
  CHECK(images.list()->at(0).size_bytes == 20);
}

TEST_CASE("a layer that does not belong to the config is refused", "[images]") {
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  const auto chain = make_layer(images, "", "a");
  images::ImageConfig config;
  config.diff_ids = {images::sha256_digest("other")};
  CHECK(images.add({.config_json = images::to_json(config), .chain_ids = {chain}}).error().kind == ErrorKind::invalid);
  config.diff_ids = {};
  CHECK(images.add({.config_json = images::to_json(config), .chain_ids = {chain}}).error().kind == ErrorKind::invalid);
  CHECK(images.add({.config_json = "{", .chain_ids = {}}).error().kind == ErrorKind::invalid);
}

TEST_CASE("tags move, and an image goes with its last name", "[images]") {
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  const auto first = make_image(images, "app", {"base", "one"});
  const auto second = make_image(images, "app", {"base", "two"});
  CHECK(images.resolve("app")->id == second);
  CHECK(images.by_id(first)->tags.empty());
  REQUIRE(images.tag("app", "other:x"));
  CHECK(images.remove(second, {}).error().kind == ErrorKind::exists);
  const auto untagged = images.remove("app", {});
  REQUIRE(untagged);
  CHECK(untagged->deleted.empty());
  CHECK(untagged->untagged == std::vector<std::string>{"app:latest"});
  const auto removed = images.remove("other:x", {});
  REQUIRE(removed);
  CHECK(removed->deleted == std::vector<std::string>{second});
  CHECK(layer_folders() == 2);  // base and one: the first image still needs them
  REQUIRE(images.remove(first.substr(7, 12), {}));
  CHECK(layer_folders() == 0);
}

TEST_CASE("an image that a container uses stays", "[images]") {
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  const auto id = make_image(images, "app", {"a"});
  REQUIRE(store.insert_container({.id = "c1", .project = "p", .name = "p-app-1", .image_id = id}));
  CHECK(images.remove("app", {}).error().kind == ErrorKind::exists);
  CHECK(images.prune({.all = true})->deleted.empty());
  const auto forced = images.remove("app", {.force = true});
  REQUIRE(forced);
  CHECK(forced->deleted.empty());
  CHECK(images.by_id(id)->layer_dirs.size() == 1);
  REQUIRE(store.remove_container("c1"));
  CHECK(images.prune({})->deleted == std::vector<std::string>{id});
  CHECK(layer_folders() == 0);
}

TEST_CASE("usage counts shared layers once, and the build cache goes by age and size", "[images]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  make_image(images, "one:1", {"base", "x"});
  make_image(images, "two:1", {"base", "y"});
  const auto cache = [&](const std::string& key, const std::string& content, WallNs used) {
    store::CacheRecord record{.key = key, .chain_id = make_layer(images, "", content), .value_json = "{}", .created = used, .used = used};
    REQUIRE(store.put_cache_entry(record));
  };
  const WallNs now = store::now_ns(), hour = 3600LL * 1'000'000'000;
  cache("old", "c1", now - 48 * hour);
  cache("new", "c2", now);
  cache("image's", "base", now - 48 * hour);
  auto usage = images::usage(store);
  REQUIRE(usage);
  CHECK(usage->images.total == 2);
  CHECK(usage->images.size_bytes == 30);
  CHECK(usage->images.reclaimable_bytes == 30);
  CHECK(usage->build_cache.total == 3);
  CHECK(usage->build_cache.size_bytes == 20);  // what an image holds anyway costs nothing
  REQUIRE(images::prune_build_cache(store, {.unused_for = std::chrono::hours(24), .keep_bytes = 0}));
  usage = images::usage(store);
  CHECK(usage->build_cache.total == 1);
  CHECK(layer_folders() == 4);
  REQUIRE(images::prune_build_cache(store, {.unused_for = {}, .keep_bytes = 1000}));
  CHECK(images::usage(store)->build_cache.total == 1);  // small enough
  REQUIRE(images::prune_build_cache(store, {}));
  CHECK(images::usage(store)->build_cache.total == 0);
  CHECK(layer_folders() == 3);
  CHECK(images.resolve("one:1"));
}

TEST_CASE("nothing is collected while somebody pulls or builds", "[images]") {
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  {
    const auto lease = ImageStore::lease();
    REQUIRE(lease);
    make_layer(images, "", "not named yet");
    CHECK(*images.collect_garbage() == 0);
    CHECK(layer_folders() == 1);
  }
  const auto leftover = ImageStore::new_layer_dir();
  REQUIRE(leftover);
  CHECK(*images.collect_garbage() == 10);
  CHECK(layer_folders() == 0);
}

TEST_CASE("a layer that was not synced before a power cut counts as missing", "[images]") {
  fixture::State state;
  auto store = fixture::open_store();
  ImageStore images(store);
  const auto id = make_image(images, "app", {"a"});
  auto row = *store.layer(images::sha256_digest("a"));
  REQUIRE(row);
  CHECK(row->boot_id == store::boot_id());
  row->boot_id = "an earlier boot";
  REQUIRE(store.put_layer(*row));
  CHECK(images.by_id(id).error().kind == ErrorKind::not_found);
  CHECK(make_image(images, "app", {"a"}) == id);  // made again
  REQUIRE(images.by_id(id));
  REQUIRE(images.settle());
  CHECK((*store.layer(images::sha256_digest("a")))->boot_id.empty());
}

TEST_CASE("an imported directory and archive become images that save and load bring back", "[archive]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  state.dir.write("rootfs/etc/os-release", "ID=test\n");
  state.dir.write("rootfs/bin/tool", "#!");
  const auto folder = registry::import_directory(store, state.dir.path() / "rootfs", {.reference = "base:1", .changes = {"CMD [\"/bin/tool\"]"}});
  REQUIRE(folder);
  const auto tar = state.dir.write("root.tar", support::tar_archive({{.name = "f", .content = "from tar"}, {.name = "d/", .type = '5'}}));
  auto input = base::sys::open(tar, O_RDONLY);
  const auto archive = registry::import_tar(store, input->borrow(), {.reference = "tar:1"});
  REQUIRE(archive);
  CHECK(registry::import_tar(store, input->borrow(), {}).error().kind == ErrorKind::invalid);  // at its end: empty

  const auto saved = state.dir.path() / "saved.tar";
  auto output = base::sys::open(saved, O_RDWR | O_CREAT, 0600);
  REQUIRE(registry::save(store, {"base:1", "tar:1"}, output->borrow()));
  {
    ImageStore images(store);
    REQUIRE(images.remove("base:1", {}));
    REQUIRE(images.remove("tar:1", {}));
    CHECK(layer_folders() == 0);
  }
  auto again = base::sys::open(saved, O_RDONLY);
  const auto loaded = registry::load(store, again->borrow(), {});
  REQUIRE(loaded);
  REQUIRE(loaded->size() == 2);
  CHECK((*loaded)[0].id == folder->id);
  CHECK((*loaded)[1].id == archive->id);
  CHECK((*loaded)[0].references == std::vector<std::string>{"docker.io/library/base:1"});
  const auto image = ImageStore(store).resolve("base:1");
  REQUIRE(image);
  CHECK(*image->config.cmd == std::vector<std::string>{"/bin/tool"});
  CHECK(*base::sys::read_file(image->layer_dirs[0] / "etc/os-release") == "ID=test\n");
  CHECK(std::filesystem::is_empty(paths::images() / "partial"));
}

TEST_CASE("an old docker-archive with linked layers is loaded", "[archive]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  const auto layer = fixture::layer("a", "1");
  const auto diff = images::sha256_digest(layer);
  const auto config = R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[")" + diff + "\",\"" + diff + "\"]}}";
  const auto archive = support::tar_archive({{.name = "one/layer.tar", .content = layer}, {.name = "two/layer.tar", .type = '2', .link = "../one/layer.tar"},
                                             {.name = "c.json", .content = config},
                                             {.name = "manifest.json", .content = R"([{"Config":"c.json","RepoTags":["old:1"],"Layers":["one/layer.tar","two/layer.tar"]}])"}});
  const auto file = state.dir.write("old.tar", archive);
  auto input = base::sys::open(file, O_RDONLY);
  const auto loaded = registry::load(store, input->borrow(), {});
  REQUIRE(loaded);
  CHECK(ImageStore(store).resolve("old:1")->layer_dirs.size() == 2);
}

TEST_CASE("an archive is the same image from a file, from its middle, compressed, and through a pipe", "[archive]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  const auto layer = fixture::layer("a", std::string(3'000'000, 'x'));
  const auto config = R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[")" + images::sha256_digest(layer) + "\"]}}";
  const auto archive = support::tar_archive({{.name = "./l.tar", .content = layer}, {.name = "./c.json", .content = config},
                                             {.name = "./manifest.json", .content = R"([{"Config":"c.json","RepoTags":["i:1"],"Layers":["l.tar"]}])"}});
  state.dir.write("plain.tar", archive);
  state.dir.write("behind", "0123456789" + archive);
  std::string packed;
  registry::GzipWriter gzip([&](std::span<const char> bytes) {
    packed.append(bytes.data(), bytes.size());
    return base::Result<>();
  });
  REQUIRE(gzip.write(archive));
  REQUIRE(gzip.finish());
  state.dir.write("packed.tar", packed);
  const auto here = "cd " + state.dir.path().string() + "; ";
  for (const char* words : {"cat <plain.tar", "cat <packed.tar", "exec 0<behind; dd bs=10 count=1 status=none >/dev/null; cat"}) {
    INFO(words);
    auto pipe = base::sys::pipe();
    REQUIRE(pipe);
    base::SpawnOptions options;
    options.program = "/bin/sh";
    options.arguments = {"sh", "-c", here + words};
    options.fds = {{pipe->second.borrow(), 1}};
    auto child = base::ChildProcess::spawn(options);
    REQUIRE(child);
    pipe->second.reset();
    const auto loaded = registry::load(store, pipe->first.borrow(), {});
    REQUIRE(loaded);
    CHECK((*loaded)[0].references == std::vector<std::string>{"docker.io/library/i:1"});
    CHECK(child->wait());
    REQUIRE(ImageStore(store).remove("i:1", {}));
  }
  for (const auto& [name, from] : {std::pair("plain.tar", 0), {"packed.tar", 0}, {"behind", 10}}) {
    INFO(name);
    const auto file = base::sys::open(state.dir.path() / name, O_RDONLY);
    REQUIRE(::lseek(file->number(), from, SEEK_SET) == from);
    REQUIRE(registry::load(store, file->borrow(), {}));
    const auto image = ImageStore(store).resolve("i:1");
    REQUIRE(image);
    CHECK(base::sys::read_file(image->layer_dirs[0] / "a")->size() == 3'000'000);
    REQUIRE(ImageStore(store).remove("i:1", {}));
  }
  CHECK(std::filesystem::is_empty(paths::images() / "partial"));
}

TEST_CASE("an archive cannot name files outside itself", "[archive]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  const auto load = [&](const std::vector<support::TarItem>& items) {
    const auto file = state.dir.write("evil.tar", support::tar_archive(items));
    auto input = base::sys::open(file, O_RDONLY);
    return registry::load(store, input->borrow(), {});
  };
  CHECK_FALSE(load({{.name = "manifest.json", .content = R"([{"Config":"../../../../../../etc/hostname","Layers":[]}])"}}));
  CHECK_FALSE(load({{.name = "c", .type = '2', .link = "/etc/os-release"}, {.name = "manifest.json", .content = R"([{"Config":"c","Layers":[]}])"}}));
  CHECK_FALSE(load({{.name = "index.json", .content = R"({"manifests":[{"digest":"sha256:../../x","size":1}]})"}}));
  CHECK(load({{.name = "c", .type = '2', .link = "manifest.json"}, {.name = "manifest.json", .type = '2', .link = "c"}}).error().message.find("neither") !=
        std::string::npos);
  CHECK(load({{.name = "../manifest.json", .content = "[]"}}).error().kind == ErrorKind::invalid);
  CHECK(load({{.name = "nothing", .content = ""}}).error().message.find("neither a docker-archive nor an OCI layout") != std::string::npos);
  const auto cut = state.dir.write("cut.tar", support::tar_archive({{.name = "layer", .content = std::string(100'000, 'x')}}).substr(0, 60'000));
  auto input = base::sys::open(cut, O_RDONLY);
  CHECK(registry::load(store, input->borrow(), {}).error().text() == "reading the archive: the archive ends inside a file");
  CHECK(ImageStore(store).list()->empty());
}

TEST_CASE("an archive's few blobs cannot name images without end", "[archive]") {
  NEEDS_ROOT();
  fixture::State state;
  auto store = fixture::open_store();
  std::vector<support::TarItem> items;
  const auto blob = [&](const std::string& content) {
    const auto digest = images::sha256_digest(content);
    items.push_back({.name = "blobs/sha256/" + digest.substr(7), .content = content});
    return digest;
  };
  const auto load = [&] {
    const auto file = state.dir.write("many.tar", support::tar_archive(items));
    auto input = base::sys::open(file, O_RDONLY);
    return registry::load(store, input->borrow(), {});
  };
  const std::string config = R"({"os":"linux","architecture":"amd64","rootfs":{"type":"layers","diff_ids":[]}})";
  SECTION("indexes of indexes") {
    const auto image = blob(R"({"schemaVersion":2,"config":{"digest":")" + blob(config) + R"(","size":)" + std::to_string(config.size()) + R"(},"layers":[]})");
    std::string child = R"({"digest":")" + image + R"(","size":)" + std::to_string(items.back().content.size()) +
                        R"(,"platform":{"os":"linux","architecture":")" + images::host_platform().substr(6) + "\"}}";
    for (int level = 0; level < 4; ++level) {
      std::string all = child;
      for (int i = 1; i < 5000; ++i) all += "," + child;
      const std::string index = R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[)" + all + "]}";
      child = R"({"mediaType":"application/vnd.oci.image.index.v1+json","digest":")" + blob(index) + R"(","size":)" + std::to_string(index.size()) + "}";
    }
    items.push_back({.name = "index.json", .content = R"({"schemaVersion":2,"manifests":[)" + child + "]}"});
    const auto loaded = load();
    INFO((loaded ? "" : loaded.error().text()));
    REQUIRE(loaded);
    CHECK(loaded->size() == 1);
  }
  SECTION("one large config, again and again") {
    items.push_back({.name = "c.json", .content = config + std::string(1 << 20, ' ')});
    std::string all = R"({"Config":"c.json","Layers":[]})";
    for (int i = 1; i < 100; ++i) all += R"(,{"Config":"c.json","Layers":[]})";
    items.push_back({.name = "manifest.json", .content = "[" + all + "]"});
    const auto loaded = load();
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().text() == "the archive names images of more than 64 MiB of manifests and configs");
    CHECK(ImageStore(store).list()->empty());
  }
}
