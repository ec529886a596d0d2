#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"
#include "engine/build/step_runner.h"
#include "engine/containers/limits.h"
#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/json.h"

namespace engine::build {
using base::UniqueFd;
namespace {

namespace spec = runtime::spec;
constexpr int root_fd = 10;

/// The OCI config of a step: Docker's container, less what a build has not.
Result<spec::Config> make_config(const RunStep& step, const std::string& id) {
  spec::Config config = spec::docker::config();
  auto& process = *config.process;
  process.args = step.args;
  process.env = step.env;
  process.cwd = step.cwd.empty() ? "/" : step.cwd;
  process.user.uid = step.who.uid;
  process.user.gid = step.who.gid;
  process.user.additional_gids = step.who.groups;
  process.user.umask = 022;
  ASSIGN_OR_RETURN(process.rlimits, containers::rlimits(step.ulimits));
  config.hostname = step.hostname.empty() ? "buildkitsandbox" : step.hostname;
  config.root.path = "/";
  if (step.insecure) {
    const auto all = spec::docker::all_capabilities();
    process.capabilities = spec::docker::capability_sets(all, true);
    config.linux_.seccomp.reset();
    config.linux_.masked_paths.clear();
    config.linux_.readonly_paths.clear();
    config.linux_.resources = spec::Resources{};
    config.linux_.resources->devices = {spec::docker::allow_all_devices()};
  }
  spec::docker::MountChoice choice;
  choice.privileged = step.insecure;
  if (step.shm_size_bytes > 0) choice.shm_size_bytes = step.shm_size_bytes;
  config.mounts = spec::docker::mounts(choice);
  config.mounts.insert(config.mounts.end(), step.mounts.begin(), step.mounts.end());
  if (step.network == "host") {  // no namespace, and no sysctls of one
    std::erase_if(config.linux_.namespaces, [](const spec::Namespace& one) { return one.type == "network"; });
    config.linux_.sysctl.clear();
  }
  if (step.netns.valid()) {
    const std::string path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(step.netns.number());
    for (auto& one : config.linux_.namespaces)
      if (one.type == "network") one.path = path;
  }
  if (step.memory_bytes > 0) {
    if (!config.linux_.resources) config.linux_.resources = spec::Resources{};
    if (!config.linux_.resources->memory) config.linux_.resources->memory.emplace();
    config.linux_.resources->memory->limit = step.memory_bytes;
  }
  config.linux_.cgroups_path = "/compose/build/" + id;
  return config;
}

class RuntimeRunner final : public StepRunner {
 public:
  RuntimeRunner(Session& session, base::Fd cancel_fd, base::Fd stop_fd) : session_(session), cancel_fd_(cancel_fd), stop_fd_(stop_fd) {}

  Result<int> run(const RunStep& step, const std::function<void(std::string_view)>& output) override {
    ASSIGN_OR_RETURN(const std::string id, session_.new_container_id());
    auto code = run_as(id, step, output);
    if (!code) remove(id);
    session_.forget_container(id);
    return code;
  }

 private:
  Result<int> run_as(const std::string& id, const RunStep& step, const std::function<void(std::string_view)>& output) {
    ASSIGN_OR_RETURN(const auto program, base::find_program("compose-runtime"));
    ASSIGN_OR_RETURN(const auto bundle, session_.new_private_folder());
    ASSIGN_OR_RETURN(const auto config, make_config(step, id));
    TRY(base::sys::write_file(bundle / "config.json", spec::to_json(config), 0600));
    ASSIGN_OR_RETURN(auto out, base::sys::pipe());
    const auto log = bundle / "log";
    base::SpawnOptions options;
    options.program = program;
    options.arguments = {"compose-runtime", "--root", step_runtime_root().string(), "--log", log.string(), "--log-format", "text",
                         "--command-codes", "run", "--bundle", bundle.string(), "--rootfs-fd", std::to_string(root_fd), id};
    options.fds = {{out.second.borrow(), 1}, {out.second.borrow(), 2}, {step.root, root_fd}};
    for (std::size_t i = 0; i < step.fds.size(); ++i)
      options.fds.emplace_back(step.fds[i], RunStep::first_fd + static_cast<int>(i));
    ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
    out.second.reset();
    TRY(forward(out.first, child, output));
    ASSIGN_OR_RETURN(const auto status, child.wait());
    // An error of the runtime's own is in its log; the command's exit code alone is not an error of ours.
    if (status.code != 0) {
      const auto text = base::sys::read_file(log, 1u << 20);
      if (text && !text->empty() && status.code != 126 && status.code != 127)
        return base::make_error(base::ErrorKind::io, last_message(*text));
    }
    return status.code;
  }

  /// Copies output until the child has ended and its pipe is empty. Error cancelled.
  Result<> forward(const UniqueFd& pipe, base::ChildProcess& child, const std::function<void(std::string_view)>& output) {
    std::vector<char> buffer(64 * 1024);
    bool ended = false;
    while (true) {
      std::array<pollfd, 4> wait = {pollfd{pipe.number(), POLLIN, 0}, pollfd{cancel_fd_.number(), POLLIN, 0},
                                    pollfd{ended ? -1 : child.pidfd().number(), POLLIN, 0}, pollfd{stop_fd_.number(), POLLIN, 0}};
      // Whoever still holds the pipe after the container's end is not waited for.
      const int ready = ::poll(wait.data(), wait.size(), ended ? 0 : -1);
      if (ready < 0 && errno == EINTR) continue;
      if (ready < 0) return base::errno_error(errno, "poll");
      if (((wait[1].revents | wait[3].revents) & POLLIN) != 0) return base::make_error(base::ErrorKind::cancelled, "the build was cancelled");
      if (wait[0].revents != 0) {
        ASSIGN_OR_RETURN(const std::size_t got, base::sys::read(pipe.borrow(), buffer));
        if (got == 0) return {};
        output(std::string_view(buffer.data(), got));
        continue;
      }
      if (ended) return {};
      if (wait[2].revents != 0) ended = true;
    }
  }

  static std::string last_message(const std::string& log) {
    const std::size_t end = log.find_last_not_of('\n');
    if (end == std::string::npos) return "the runtime failed";
    const std::size_t start = log.rfind('\n', end);
    const std::string line = log.substr(start == std::string::npos ? 0 : start + 1, end - (start == std::string::npos ? 0 : start + 1) + 1);
    const std::size_t message = line.find("msg=");
    std::string text = message == std::string::npos ? line : line.substr(message + 4);
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
      std::string plain;
      for (std::size_t i = 1; i + 1 < text.size(); ++i) plain += text[i] == '\\' && i + 2 < text.size() ? text[++i] : text[i];
      text = plain;
    }
    return text;
  }

  void remove(const std::string& id) {
    const auto program = base::find_program("compose-runtime");
    if (!program) return;
    base::SpawnOptions options;
    options.program = *program;
    options.arguments = {"compose-runtime", "--root", step_runtime_root().string(), "delete", "--force", id};
    auto child = base::ChildProcess::spawn(options);
    if (child) (void)child->wait(std::chrono::seconds(10));
  }

  Session& session_;
  base::Fd cancel_fd_, stop_fd_;
};

}  // namespace

std::unique_ptr<StepRunner> make_runtime_runner(Session& session, base::Fd cancel_fd, base::Fd stop_fd) {
  return std::make_unique<RuntimeRunner>(session, cancel_fd, stop_fd);
}

}  // namespace engine::build
