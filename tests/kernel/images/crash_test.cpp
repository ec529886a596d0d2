// kill -9 of compose-image anywhere in a pull, load or prune: the next run is right, and what was half made is gone.
#include <signal.h>

#include <catch2/catch.hpp>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/registry/archive.h"
#include "engine/registry/transfer.h"
#include "tests/kernel/images/registry_fixture.h"

using namespace engine;
using fixture::layer;
namespace fs = std::filesystem;

namespace {

/// compose-image at work; its output goes nowhere.
base::ChildProcess start(std::vector<std::string> words) {
  const auto nowhere = base::sys::open("/dev/null", O_RDWR);
  words.insert(words.begin(), "compose-image");
  base::SpawnOptions options{.program = std::string(BIN_DIR) + "/compose-image", .arguments = std::move(words)};
  for (const int fd : {0, 1, 2}) options.fds.emplace_back(nowhere->borrow(), fd);
  auto child = base::ChildProcess::spawn(options);
  REQUIRE(child);
  return *std::move(child);
}
/// Its exit code; -1 when it was killed.
int code_of(base::ChildProcess child) {
  const auto status = child.wait();
  return status && status->signal == 0 ? status->code : -1;
}
/// Killed when it is still at work after `moment`.
void killed_after(std::chrono::milliseconds moment, std::vector<std::string> words) {
  auto child = start(std::move(words));
  if (child.wait(moment)) return;
  REQUIRE(child.kill(SIGKILL));
  (void)child.wait();
}

/// What killed runs left half made, one a line. `compose-image settle` may still be at it.
std::string leftovers() {
  std::string found;
  std::error_code ignored;
  for (const auto& one : fs::directory_iterator(paths::layers(), ignored))
    if (one.path().filename().string().starts_with(".")) found += one.path().string() + "\n";
  for (const auto& one : fs::directory_iterator(paths::images() / "partial", ignored)) found += one.path().string() + "\n";
  return found;
}

/// Every image in the database has its layers on the disk, whole.
void check_consistent(store::Store& store) {
  const auto all = images::ImageStore(store).list();
  REQUIRE(all);
  for (const auto& one : *all) {
    const auto image = images::ImageStore(store).by_id(one.id);
    INFO(one.id << (image ? "" : image.error().text()));
    REQUIRE(image);
    for (const auto& folder : image->layer_dirs) CHECK(fs::is_directory(folder));
  }
}

/// An empty store. The old one stays where it is: a `compose-image settle` may still be at work there.
void new_state(const fixture::State& state) {
  static int number = 0;
  setenv("COMPOSE_STATE_DIR", (state.dir.path() / ("state-" + std::to_string(++number))).c_str(), 1);
}

std::string big(char with) { return std::string(1'500'000, with); }

}  // namespace

TEST_CASE("a pull killed at any request is completed by the next one", "[crash]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", big('a')), layer("b", big('b')), layer("c", big('c'))});
  for (int at = 1;; ++at) {
    INFO("killed at request " << at);
    new_state(state);
    std::atomic<int> requests = 0;
    std::atomic<pid_t> victim = 0;
    registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
      const int number = ++requests;
      if (number < at) return std::nullopt;
      // Half of a blob first, so that a part is on the disk; whatever is asked for next is the end.
      if (number == at && request.path.find("/blobs/") != std::string::npos) {
        const std::lock_guard guard(registry.mutex);
        const auto& body = registry.blobs.at(request.path.substr(request.path.rfind('/') + 1));
        return support::WebAnswer{.status = 200, .body = body, .headers = {}, .cut_after = body.size() / 2};
      }
      if (const pid_t pid = victim.exchange(0); pid > 0) ::kill(pid, SIGKILL);
      return std::nullopt;
    };
    auto first = start({"pull", registry.name()});
    victim = first.pid();
    const bool survived = code_of(std::move(first)) == 0;
    registry.hook = {};
    REQUIRE(code_of(start({"pull", registry.name()})) == 0);
    auto store = fixture::open_store();
    check_consistent(store);
    const auto image = images::ImageStore(store).resolve(registry.name());
    REQUIRE(image);
    CHECK(*base::sys::read_file(image->layer_dirs.at(2) / "c") == big('c'));
    CHECK(support::eventually([&] { return images::ImageStore(store).settle() && leftovers().empty(); }));
    CHECK(leftovers() == "");
    if (survived) break;
    REQUIRE(at < 40);
  }
}

TEST_CASE("a load or prune killed at any moment leaves a store that the next one puts right", "[crash]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", big('a')), layer("b", big('b'))});
  registry.add_image("other", {layer("a", big('a')), layer("d", big('d'))});
  const auto archive = state.dir.path() / "images.tar";
  {
    auto store = fixture::open_store();
    REQUIRE(registry::pull(store, registry.name(), {}));
    REQUIRE(registry::pull(store, registry.name("other"), {}));
    const auto out = base::sys::open(archive, O_WRONLY | O_CREAT, 0600);
    REQUIRE(registry::save(store, {registry.name(), registry.name("other")}, out->borrow()));
  }
  // From at once to after its end, in growing steps; a slow machine is only killed earlier in the work.
  for (const int ms : {0, 1, 2, 4, 6, 8, 12, 16, 24, 40, 80, 160}) {
    INFO("killed after " << ms << " ms");
    const std::chrono::milliseconds moment(ms);
    new_state(state);
    killed_after(moment, {"load", "--input", archive.string()});
    REQUIRE(code_of(start({"load", "--input", archive.string()})) == 0);
    auto store = fixture::open_store();
    check_consistent(store);
    CHECK(images::ImageStore(store).list()->size() == 2);
    CHECK(support::eventually([&] { return images::ImageStore(store).settle() && leftovers().empty(); }));
    killed_after(moment, {"rm", "--force", registry.name()});
    check_consistent(store);
    (void)code_of(start({"rm", "--force", registry.name()}));  // says so when it is gone already
    CHECK(images::ImageStore(store).resolve(registry.name("other")));
    killed_after(moment, {"prune", "--all"});
    check_consistent(store);
    REQUIRE(code_of(start({"prune", "--all"})) == 0);
    CHECK(images::ImageStore(store).list()->empty());
    std::error_code ignored;
    CHECK(fs::is_empty(paths::layers(), ignored));
    CHECK(fs::is_empty(paths::images() / "blobs" / "sha256", ignored));
    CHECK(leftovers() == "");
  }
}
