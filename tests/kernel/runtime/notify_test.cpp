// Readiness: what a container's program tells by sd_notify(3) reaches the manager of whoever ran the runtime.
#include <sys/socket.h>
#include <sys/un.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/sys.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;

namespace {

/// A service manager: takes messages until the barrier, whose descriptor it closes as systemd does.
class Manager {
 public:
  explicit Manager(const std::filesystem::path& folder) : path_(folder / "manager") {
    auto socket = base::sys::socket(AF_UNIX, SOCK_DGRAM);
    if (!socket) return;
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof address.sun_path - 1);
    if (::bind(socket->number(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) return;
    const timeval limit{.tv_sec = 20, .tv_usec = 0};
    (void)::setsockopt(socket->number(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    socket_ = *std::move(socket);
    ::setenv("NOTIFY_SOCKET", path_.c_str(), 1);
    reader_ = std::thread([this] {
      while (true) {
        const auto message = base::sys::recv_fds(socket_.borrow());
        if (!message || message->bytes.empty()) return;
        if (message->bytes == "BARRIER=1") {
          barrier_ = message->fds.size() == 1;
          return;
        }
        text_ += message->bytes;
      }
    });
  }
  ~Manager() {
    ::unsetenv("NOTIFY_SOCKET");
    if (reader_.joinable()) reader_.join();
  }
  Manager(const Manager&) = delete;
  Manager& operator=(const Manager&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// All that came before the barrier.
  std::string text() {
    if (reader_.joinable()) reader_.join();
    return barrier_ ? text_ : text_ + "(no barrier)";
  }

 private:
  std::filesystem::path path_;
  base::UniqueFd socket_;
  std::thread reader_;
  std::string text_;
  bool barrier_ = false;
};

std::string ready(const std::string& pid) { return "MAINPID=" + pid + "\nREADY=1\n"; }

}  // namespace

TEST_CASE("a foreground container's readiness goes on with its pid, and the container sees a socket of its own", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  Manager manager(bundle.folder());
  bundle.config.process->user.uid = 1000;
  bundle.probe({"do", "environ", ",", "notify", "STATUS=starting", ",", "notify", "STATUS=here\nREADY=1", ",", "file", manager.path() / "notify"});
  const auto seen = bundle.run({"--pid-file", bundle.folder() / "pid"});
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.all("NOTIFY_SOCKET") == std::vector<std::string>{manager.path() / "notify"});
  CHECK(seen.has("notify ok\nnotify ok\n"));
  CHECK(manager.text() == ready(*base::sys::read_file(bundle.folder() / "pid")));
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("run --detach and start return when the container is ready", "[ns]") {
  NEED_CONTAINERS();
  for (const bool created : {false, true}) {
    Bundle bundle;
    Manager manager(bundle.folder());
    const std::string pid_file = bundle.folder() / "pid";
    bundle.probe({"do", "notify", "READY=1", ",", "hold"});
    bundle.write_config();
    if (created) {
      REQUIRE(bundle.runtime({"create", "--bundle", bundle.folder(), "--pid-file", pid_file, bundle.id()}).code == 0);
      CHECK(bundle.runtime({"start", bundle.id()}).code == 0);
    } else {
      CHECK(bundle.start({"--pid-file", pid_file}).code == 0);
    }
    CHECK(manager.text() == ready(*base::sys::read_file(pid_file)));
    CHECK(bundle.status() == "running");
    CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
    CHECK(bundle.leftovers() == "");
  }
}

TEST_CASE("a container that ends without being ready does not hold its runtime", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  ::setenv("NOTIFY_SOCKET", (bundle.folder() / "nobody").c_str(), 1);
  const auto seen = bundle.probe({"exit", "0"}).start({"--pid-file", bundle.folder() / "pid"});
  ::unsetenv("NOTIFY_SOCKET");
  INFO(seen.err);
  CHECK(seen.code == 0);
  CHECK(bundle.wait_init(std::atoi(base::sys::read_file(bundle.folder() / "pid")->c_str())) == 0);
}
