// What a build leaves beside its image: caches inside it, indexes of several platforms; and what a killed one leaves.
#include <csignal>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/registry/archive.h"
#include "engine/registry/cli.h"
#include "engine/registry/transfer.h"
#include "tests/kernel/build/world.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace build_test;

TEST_CASE("an image carries the steps of its layers to another machine", "[build]") {
  NEED_BUILDS();
  World world;
  fixture::Registry registry;
  const std::string text = World::base() + "FROM base AS other\nRUN echo other > /o\nFROM base\nCOPY --from=other /o /o\nRUN echo made > /m\n";
  BuildRequest request;
  request.tags = {registry.name()};
  request.cache_to = {"type=inline"};
  const auto first = world.build(text, request);
  INFO(world.output << world.problem);
  REQUIRE(first);
  {
    auto store = fixture::open_store();
    REQUIRE(registry::push(store, registry.name(), {}));
  }
  ::setenv("COMPOSE_STATE_DIR", (world.temp.path() / "elsewhere").c_str(), 1);
  request.cache_from = {registry.name()};
  const auto second = world.build(text, request);
  INFO(world.output << world.problem);
  REQUIRE(second);
  CHECK(world.output.find("ERROR") == std::string::npos);
  // Five steps of the base's, and the two on top; the other stage is needed for neither.
  CHECK(count(world.output, "CACHED") >= 6);
  CHECK(world.image(second->image_id).config.diff_ids == world.image(first->image_id).config.diff_ids);
  // An image without it is said to be one.
  request.cache_to.clear();
  request.cache_from = {registry.name()};
  REQUIRE(world.build(text, {.tags = {registry.name("plain")}}));
  {
    auto store = fixture::open_store();
    REQUIRE(registry::push(store, registry.name("plain"), {}));
  }
  request.cache_from = {registry.name("plain")};
  REQUIRE(world.build(text, request));
  CHECK(world.output.find("an image, without what its build left") != std::string::npos);
}

TEST_CASE("several platforms become one index, pushed with all its images", "[build]") {
  NEED_BUILDS();
  World world;
  fixture::Registry registry;
  BuildRequest request;
  request.tags = {registry.name()};
  request.platforms = {"linux/amd64", "linux/arm64", "linux/amd64"};
  const auto done = world.build("FROM scratch\nARG TARGETARCH\nCOPY marker /for-$TARGETARCH\n", request);
  INFO(world.output << world.problem);
  REQUIRE(done);
  CHECK(world.output.find("[linux/arm64 1/1] COPY") != std::string::npos);
  CHECK(world.output.find("exporting manifest list sha256:") != std::string::npos);
  CHECK(world.image(done->image_id).config.platform() == images::host_platform());
  CHECK(world.top_layer(done->image_id) == "for-amd64 " + std::string(marker) + "\n");
  {
    auto store = fixture::open_store();
    const auto pushed = registry::push(store, registry.name(), {});
    INFO((pushed ? "" : pushed.error().text()));
    REQUIRE(pushed);
    CHECK(registry.manifests.at("latest") == registry.manifests.at(pushed->digest));
  }
  CHECK(registry.manifests.at("latest").find("\"manifests\"") != std::string::npos);
  const auto archive = world.temp.path() / "both.tar";
  {
    auto store = fixture::open_store();
    images::ImageStore images(store);
    CHECK(images.list()->size() == 2);
    REQUIRE(registry::save(store, {registry.name()}, base::sys::open(archive, O_WRONLY | O_CREAT, 0600)->borrow()));
    REQUIRE(images.tag(registry.name(), "second"));
    CHECK(images.remove(registry.name(), {})->deleted.empty());
    CHECK(images.remove("second", {})->deleted.size() == 2);  // the other platform has no name of its own
    CHECK(images.list()->empty());
  }
  ::setenv("COMPOSE_STATE_DIR", (world.temp.path() / "third").c_str(), 1);
  {
    auto store = fixture::open_store();
    const auto loaded = registry::load(store, base::sys::open(archive, O_RDONLY)->borrow(), {});
    INFO((loaded ? "" : loaded.error().text()));
    REQUIRE(loaded);
    CHECK(images::ImageStore(store).list()->size() == 2);
    CHECK(images::ImageStore(store).resolve(registry.name())->config.platform() == images::host_platform());
    const auto index = registry.manifests.at("latest");
    registry.manifests.clear();
    REQUIRE(registry::push(store, registry.name(), {}));
    CHECK(registry.manifests.at("latest") == index);
  }
  ::setenv("COMPOSE_STATE_DIR", (world.temp.path() / "elsewhere").c_str(), 1);
  auto store = fixture::open_store();
  const auto pulled = registry::pull(store, registry.name(), {.platform = "linux/arm64"});
  INFO((pulled ? "" : pulled.error().text()));
  REQUIRE(pulled);
  CHECK(World::layer(images::ImageStore(store).by_id(pulled->id)->layer_dirs.back()) == "for-arm64 " + std::string(marker) + "\n");
}

TEST_CASE("a program of another architecture fails with what this machine lacks", "[build]") {
  NEED_BUILDS();
  World world;
  // An ELF header of a machine that nobody emulates here: MIPS, big endian.
  std::string program("\x7f" "ELF\x02\x02\x01", 7);
  program.resize(64, '\0');
  program[17] = 2;
  program[19] = 8;
  world.write("program", program);
  fs::permissions(world.context / "program", fs::perms::owner_all | fs::perms::others_exec | fs::perms::group_exec);
  BuildRequest request;
  request.platforms = {"linux/mips64"};
  CHECK_FALSE(world.build("FROM scratch\nCOPY program /program\nRUN [\"/program\"]\n", request));
  INFO(world.output << world.problem);
  CHECK(world.problem.find("cannot run linux/mips64 programs") != std::string::npos);
}

TEST_CASE("a build killed at any moment is done by the next one, and leaves nothing", "[build][crash]") {
  NEED_BUILDS();
  World world;
  const std::string text = World::base() + "RUN echo one > /one; i=0; while [ $i -lt 50 ]; do echo $i > /f$i; i=$((i+1)); done\nCOPY marker /two\nRUN cat /one /two > /three\n";
  world.write("Dockerfile", text);
  const auto input = world.temp.write("request.json", R"({"context":")" + world.context.string() + R"(","tags":["crash"]})");
  const auto start = [&] {
    const auto request = base::sys::open(input, O_RDONLY);
    const auto nowhere = base::sys::open("/dev/null", O_RDWR);
    auto child = base::ChildProcess::spawn({.program = std::string(BIN_DIR) + "/compose-image", .arguments = {"compose-image", "build"},
                                            .fds = {{request->borrow(), 0}, {nowhere->borrow(), 1}, {nowhere->borrow(), 2}}});
    REQUIRE(child);
    return *std::move(child);
  };
  for (const int delay_ms : {0, 2, 5, 10, 20, 35, 50, 80, 120, 200, 400}) {
    INFO("killed after " << delay_ms << " ms");
    // The old one stays where it is: a `compose-image settle` may still be at work there.
    const auto state = world.temp.path() / ("state-" + std::to_string(delay_ms));
    ::setenv("COMPOSE_STATE_DIR", state.c_str(), 1);
    {
      auto child = start();
      if (!child.wait(std::chrono::milliseconds(delay_ms))) {
        REQUIRE(child.kill(SIGKILL));
        (void)child.wait();
      }
    }
    auto next = start();
    const auto status = next.wait();
    REQUIRE(status);
    REQUIRE(status->code == 0);
    {
      auto store = fixture::open_store();
      const auto image = images::ImageStore(store).resolve("crash");
      REQUIRE(image);
      CHECK(*base::sys::read_file(image->layer_dirs.back() / "three") == "one\n" + std::string(marker));
      REQUIRE(images::ImageStore(store).settle());
    }
    const auto left = [&] {
      std::string found;
      std::error_code ignored;
      for (const auto& folder : {paths::build_cache() / "tmp", paths::run_dir() / "build", paths::run_dir() / "build-runtime", paths::images() / "partial"})
        for (const auto& one : fs::directory_iterator(folder, ignored))
          if (one.path().filename() != ".cache") found += one.path().string() + "\n";  // compiled filters of the runtime: kept on purpose
      for (const auto& one : fs::directory_iterator(paths::layers(), ignored))
        if (one.path().filename().string().starts_with(".")) found += one.path().string() + "\n";
      return found;
    };
    CHECK(support::eventually([&] { return left().empty(); }));
    CHECK(left() == "");
    CHECK(base::sys::read_file("/proc/self/mounts")->find(state.string()) == std::string::npos);
  }
}
