#pragma once
// An engine and a build context of a test's own.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <set>

#include "base/sys.h"
#include "engine/build/build.h"
#include "engine/images/image_store.h"
#include "tests/support/support.h"

namespace build_test {

using namespace engine;
using namespace engine::build;
namespace fs = std::filesystem;

inline constexpr const char* marker = "inside-the-build-root";

/// Folders of an engine of our own, and a context with busybox and a marker file.
struct World {
  support::TempDir temp;
  fs::path context, state;
  std::string output, problem, excerpt;

  World() : context(temp.path() / "context"), state(temp.path() / "state") {
    ::setenv("COMPOSE_STATE_DIR", state.c_str(), 1);
    ::setenv("COMPOSE_RUN_DIR", (temp.path() / "run").c_str(), 1);
    ::setenv("PATH", (std::string(BIN_DIR) + ":/usr/bin:/bin").c_str(), 1);
    fs::create_directories(context);
    fs::copy_file("/bin/busybox", context / "busybox");
    write("marker", marker);
  }
  void write(const std::string& path, const std::string& text) const { temp.write("context/" + path, text); }

  /// "FROM scratch" with a shell, proven to be ours.
  static std::string base() {
    return "FROM scratch AS base\nCOPY busybox /bin/busybox\nCOPY marker /marker\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n"
           "RUN test \"$(cat /marker)\" = " +
           std::string(marker) + "\n";
  }

  base::Result<BuildResult> build(const std::string& dockerfile, BuildRequest request = {}) {
    write("Dockerfile", dockerfile);
    request.context = context.string();
    const auto out = base::sys::open(temp.path() / "out", O_RDWR | O_CREAT | O_TRUNC, 0600);
    BuildFailure failure;
    auto result = build_image(request, out->borrow(), &failure);
    output = *base::sys::read_file(temp.path() / "out");
    problem = result ? "" : result.error().text();
    excerpt = failure.excerpt;
    INFO(output << problem);
    return result;
  }

  images::Image image(const std::string& id) const {
    auto store = store::Store::open();
    REQUIRE(store);
    images::ImageStore images(*store);
    auto found = images.by_id(id);
    REQUIRE(found);
    return *found;
  }

  /// Files of one layer: "path content" for files, "path/" for folders, "path -> x" for links, "-path" for whiteouts; sorted.
  static std::string layer(const fs::path& folder) {
    std::set<std::string> lines;
    for (auto it = fs::recursive_directory_iterator(folder); it != fs::recursive_directory_iterator(); ++it) {
      const std::string path = it->path().lexically_relative(folder).string();
      if (it->is_symlink()) lines.insert(path + " -> " + fs::read_symlink(it->path()).string());
      else if (it->is_directory()) lines.insert(path + "/");
      else if (it->is_character_file()) lines.insert("-" + path);
      else lines.insert(path + " " + *base::sys::read_file(it->path()));
    }
    std::string text;
    for (const auto& line : lines) text += line + "\n";
    return text;
  }
  [[nodiscard]] std::string top_layer(const std::string& id) const { return layer(image(id).layer_dirs.back()); }
};

inline bool can_build() { return ::geteuid() == 0 && fs::exists(fs::path(BIN_DIR) / "compose-runtime") && fs::exists("/bin/busybox"); }

#define NEED_BUILDS() \
  if (!can_build()) SKIP_TEST("needs root, compose-runtime and busybox")

inline std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) ++found;
  return found;
}

}  // namespace build_test
