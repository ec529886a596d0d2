// kill -9 of compose-image anywhere in a pull, load or prune: the next run is right, and what was half made is gone.
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <catch2/catch.hpp>
#include <thread>

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
class Worker {
 public:
  explicit Worker(std::vector<std::string> words) {
    words.insert(words.begin(), std::string(BIN_DIR) + "/compose-image");
    std::vector<char*> argv;
    for (auto& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    for (const int fd : {0, 1, 2}) posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    pid_t made = 0;
    const int failed = posix_spawn(&made, argv[0], &actions, nullptr, argv.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    REQUIRE(failed == 0);
    pid = made;
  }
  void kill() const {
    if (pid > 0) ::kill(pid, SIGKILL);
  }
  /// Its exit code; -1 when it was killed.
  int wait() const {
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::atomic<pid_t> pid = 0;
};

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

std::string big(char with) { return std::string(1'500'000, with); }

}  // namespace

TEST_CASE("a pull killed at any request is completed by the next one", "[crash]") {
  NEEDS_ROOT();
  fixture::State state;
  fixture::Registry registry;
  registry.add_image("latest", {layer("a", big('a')), layer("b", big('b')), layer("c", big('c'))});
  for (int at = 1;; ++at) {
    INFO("killed at request " << at);
    fs::remove_all(paths::state_dir());
    std::atomic<int> requests = 0;
    std::atomic<pid_t> victim = 0;
    registry.hook = [&](const support::WebRequest& request) -> std::optional<support::WebAnswer> {
      if (++requests != at) return std::nullopt;
      const pid_t pid = victim.exchange(0);
      if (request.path.find("/blobs/") != std::string::npos) {
        // Half of the body first, so that a part is on the disk.
        const std::lock_guard guard(registry.mutex);
        const auto& body = registry.blobs.at(request.path.substr(request.path.rfind('/') + 1));
        std::thread([pid] {
          std::this_thread::sleep_for(std::chrono::milliseconds(5));
          if (pid > 0) ::kill(pid, SIGKILL);
        }).detach();
        return support::WebAnswer{.status = 200, .body = body, .headers = {}, .cut_after = body.size() / 2};
      }
      if (pid > 0) ::kill(pid, SIGKILL);
      return std::nullopt;
    };
    bool survived = false;
    {
      const Worker worker({"pull", registry.name()});
      victim = worker.pid.load();
      survived = worker.wait() == 0 && requests < at;
    }
    registry.hook = {};
    REQUIRE(Worker({"pull", registry.name()}).wait() == 0);
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
  for (const int delay_us : {0, 500, 1000, 2000, 4000, 6000, 8000, 12'000, 16'000, 24'000, 40'000, 80'000, 160'000}) {
    INFO("killed after " << delay_us << " us");
    const auto killed = [&](std::vector<std::string> words) {
      const Worker worker(std::move(words));
      std::this_thread::sleep_for(std::chrono::microseconds(delay_us));
      worker.kill();
      (void)worker.wait();
    };
    fs::remove_all(paths::state_dir());
    killed({"load", "--input", archive.string()});
    REQUIRE(Worker({"load", "--input", archive.string()}).wait() == 0);
    auto store = fixture::open_store();
    check_consistent(store);
    CHECK(images::ImageStore(store).list()->size() == 2);
    CHECK(support::eventually([&] { return images::ImageStore(store).settle() && leftovers().empty(); }));
    killed({"rm", "--force", registry.name()});
    check_consistent(store);
    (void)Worker({"rm", "--force", registry.name()}).wait();  // says so when it is gone already
    CHECK(images::ImageStore(store).resolve(registry.name("other")));
    killed({"prune", "--all"});
    check_consistent(store);
    REQUIRE(Worker({"prune", "--all"}).wait() == 0);
    CHECK(images::ImageStore(store).list()->empty());
    std::error_code ignored;
    CHECK(fs::is_empty(paths::layers(), ignored));
    CHECK(fs::is_empty(paths::images() / "blobs" / "sha256", ignored));
    CHECK(leftovers() == "");
  }
}
