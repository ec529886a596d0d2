#pragma once
// A state folder with a small image of two layers, made by hand.
#include <unistd.h>

#include <cstdlib>

#include "engine/containers/containers.h"
#include "engine/containers/root.h"
#include "tests/support/support.h"

struct World {
  support::TempDir dir;
  engine::images::Image image;
  std::string id = std::string(64, 'a');

  World() {
    ::setenv("COMPOSE_STATE_DIR", (dir.path() / "state").c_str(), 1);
    ::setenv("COMPOSE_RUN_DIR", (dir.path() / "run").c_str(), 1);
    dir.write("layer1/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44:www:/var/www:/bin/sh\n");
    dir.write("layer1/etc/group", "root:x:0:\nwebg:x:44:\nextra:x:55:web,root\naudio:x:29:root\n");
    dir.write("layer1/data/seed", "from the image");
    dir.write("layer1/gone", "x");
    dir.write("layer2/app/conf", "second layer");
    std::filesystem::create_directories(dir.path() / "layer1/bin");
    std::filesystem::create_directories(dir.path() / "layer2/bin");
    image.layer_dirs = {dir.path() / "layer1", dir.path() / "layer2"};
    image.config.cmd = std::vector<std::string>{"sleep", "1000"};
    image.config.env = {"FOO=bar"};
    image.config.working_dir = "/data";
  }

  static engine::ContainerSpec spec() {
    engine::ContainerSpec spec;
    spec.project = "p";
    spec.name = "p-s-1";
    spec.image = "test";
    return spec;
  }

  [[nodiscard]] engine::containers::Result<engine::containers::Prepared> prepare(const engine::ContainerSpec& spec) const {
    engine::containers::StartOptions options;
    return prepare(spec, std::move(options));
  }
  [[nodiscard]] engine::containers::Result<engine::containers::Prepared> prepare(const engine::ContainerSpec& spec,
                                                                                engine::containers::StartOptions options) const {
    options.id = id;
    auto mounts = engine::containers::all_mounts(spec, image.config);
    if (!mounts) return std::move(mounts).error();
    options.mounts = *mounts;
    for (auto& mount : options.mounts) {
      if (mount.type != engine::MountType::volume) continue;
      if (mount.source.empty()) mount.source = "anonymous";
      if (!options.volumes.contains(mount.source)) options.volumes[mount.source] = {.name = mount.source};
    }
    return engine::containers::prepare(spec, image, options);
  }
};

/// Root is needed to mount; without it the test is skipped.
#define NEEDS_ROOT() \
  if (::geteuid() != 0) SKIP_TEST("not root")
