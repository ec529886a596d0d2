#pragma once
// A project of real containers, run by the real programs of build/bin in folders of its own. Takes itself down.
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/client/client.h"
#include "engine/images/image_store.h"
#include "tests/support/support.h"

namespace stack {

using namespace engine;
using namespace std::chrono_literals;

/// An image of nothing but busybox; its id.
inline base::Result<std::string> busybox_image() {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  images::ImageStore images(store);
  TRY(images::prepare_folders());
  ASSIGN_OR_RETURN(const auto folder, images::ImageStore::new_layer_dir());
  for (const char* name : {"bin", "tmp", "etc", "proc", "sys", "dev", "data"}) TRY(base::sys::make_directories(folder / name));
  std::error_code failed;
  std::filesystem::permissions(folder, std::filesystem::perms(0755), failed);
  std::filesystem::permissions(folder / "tmp", std::filesystem::perms(01777), failed);
  std::filesystem::copy_file("/bin/busybox", folder / "bin/busybox", failed);
  if (failed) return base::make_error(base::ErrorKind::not_found, "/bin/busybox: " + failed.message());
  for (const char* name : {"sh", "sleep", "seq", "cat", "echo", "true", "false", "kill", "ls", "id", "nc", "wget", "ip", "ping", "nslookup", "tty", "stty", "env", "head", "test", "touch", "hostname", "ps", "dd"})
    std::filesystem::create_symlink("busybox", folder / "bin" / name, failed);
  TRY(base::sys::write_file(folder / "etc/passwd", "root:x:0:0:root:/:/bin/sh\n"));
  const std::string diff = images::sha256_digest("test layer");
  ASSIGN_OR_RETURN(const auto chain, images.add_layer(folder, {.diff_id = diff}));
  return images.add({.config_json = R"({"architecture":"amd64","os":"linux","config":{"Env":["PATH=/bin"]},"rootfs":{"type":"layers","diff_ids":[")" + diff + "\"]}}",
                     .chain_ids = {chain}, .references = {"docker.io/library/test:1"}});
}

class Stack {
 public:
  Stack() : project_("kt" + std::to_string(::getpid())) {
    ::setenv("COMPOSE_STATE_DIR", (dir_.path() / "state").c_str(), 1);
    ::setenv("COMPOSE_RUN_DIR", (dir_.path() / "run").c_str(), 1);
    auto made = busybox_image();
    INFO((made ? "" : made.error().text()));
    REQUIRE(made);
    image_ = *made;
  }
  ~Stack() {
    down();
    if (const pid_t supervisor = supervisor_pid()) ::kill(supervisor, SIGKILL);
    CHECK(support::eventually([&] { return !client::supervisor_runs(project_); }));
    // One that was killed while it cleared up is followed by another, which does so.
    (void)support::eventually([&] { return leftovers().empty(); });
    CHECK(leftovers() == "");
  }
  Stack(const Stack&) = delete;
  Stack& operator=(const Stack&) = delete;

  [[nodiscard]] ContainerSpec shell(const std::string& name, const std::string& script) const {
    ContainerSpec spec;
    spec.name = project_ + "-" + name;
    spec.project = project_;
    spec.image = "test:1";
    spec.image_id = image_;
    spec.command = {"sh", "-c", script};
    spec.network_mode = "none";
    return spec;
  }
  Outcome run(std::vector<Action> actions) {
    Plan plan;
    for (auto& action : actions) {
      Step step{.action = std::move(action)};
      if (!plan.steps.empty()) step.after = {plan.steps.size() - 1};
      plan.steps.push_back(std::move(step));
    }
    return run(plan);
  }
  Outcome run(const Plan& plan) {
    auto outcome = client::execute(project_, plan, {});
    INFO((outcome ? "" : outcome.error().text()));
    REQUIRE(outcome);
    return *outcome;
  }
  Outcome up(const ContainerSpec& spec) { return run({action::CreateContainer{spec}, action::StartContainer{spec.name}}); }
  void down() {
    const auto snapshot = client::snapshot(project_);
    Plan plan;
    if (snapshot)
      for (const auto& info : snapshot->containers) plan.steps.push_back({.action = action::RemoveContainer{info.spec.name, true, true}});
    const std::size_t containers = plan.steps.size();
    if (snapshot)
      for (const auto& network : snapshot->networks) {
        Step step{.action = action::RemoveNetwork{network.spec.name}};
        for (std::size_t i = 0; i < containers; ++i) step.after.push_back(i);
        plan.steps.push_back(step);
      }
    if (plan.steps.empty()) return;
    const auto outcome = client::execute(project_, plan, {});
    CHECK(outcome);
    if (outcome)
      for (const auto& error : outcome->errors) FAIL_CHECK(error.name << ": " << error.error.text());
  }
  [[nodiscard]] ContainerInfo info(const std::string& name) const {
    auto found = client::container(project_ + "-" + name);
    return found ? *found : ContainerInfo{};
  }
  [[nodiscard]] std::string log(const std::string& name) const {
    const auto current = info(name);
    std::string out;
    for (int i = 9; i >= 1; --i)
      if (auto text = base::sys::read_file(current.log_path + "." + std::to_string(i), 1 << 30)) out += *text;
    if (auto text = base::sys::read_file(current.log_path, 1 << 30)) out += *text;
    return out;
  }
  /// Of whoever listens on the API socket; 0 when nobody does.
  [[nodiscard]] pid_t supervisor_pid() const {
    auto socket = base::sys::connect_unix(paths::api_socket(project_));
    if (!socket) return 0;
    ucred peer{};
    socklen_t size = sizeof peer;
    return ::getsockopt(socket->number(), SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 ? peer.pid : 0;
  }
  /// Mounts in our folders, cgroups and run folders of the project: only ours, as other tests may run beside this one.
  [[nodiscard]] std::string leftovers() const {
    std::string out;
    const auto mounts = base::sys::read_file("/proc/self/mounts");
    if (mounts && mounts->find(dir_.path().string()) != std::string::npos) out += *mounts;
    std::error_code failed;
    for (const auto& hierarchy : std::filesystem::directory_iterator("/sys/fs/cgroup", failed))
      if (std::filesystem::exists(hierarchy.path() / "compose" / project_, failed)) out += hierarchy.path().string() + "\n";
    if (std::filesystem::exists(paths::project_run(project_), failed)) out += paths::project_run(project_).string() + "\n";
    return out;
  }
  [[nodiscard]] static pid_t parent_of(pid_t pid) {
    const auto status = base::sys::read_file("/proc/" + std::to_string(pid) + "/status");
    if (!status) return 0;
    const auto at = status->find("PPid:");
    return at == std::string::npos ? 0 : std::atoi(status->c_str() + at + 5);
  }
  [[nodiscard]] pid_t keeper_pid() const { return parent_of(supervisor_pid()); }
  [[nodiscard]] const std::string& project() const { return project_; }
  [[nodiscard]] const std::filesystem::path& path() const { return dir_.path(); }

 private:
  support::TempDir dir_;
  std::string project_, image_;
};

}  // namespace stack
