#include "runtime/linux/hooks.h"

#include <sys/mman.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"

namespace runtime {

using base::Result;

namespace {

Result<> run_hook(const spec::Hook& hook, const std::string& state) {
  ASSIGN_OR_RETURN(const auto input, base::sys::memfd_create("state", 0));
  TRY(base::sys::write_all(input.borrow(), state));
  (void)::lseek(input.number(), 0, SEEK_SET);
  base::SpawnOptions options;
  options.program = hook.path;
  options.arguments = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  options.environment = hook.env;
  options.fds = {{input.borrow(), 0}, {base::Fd(2), 1}, {base::Fd(2), 2}};
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  std::optional<std::chrono::milliseconds> limit;
  if (hook.timeout_s) limit = std::chrono::seconds(*hook.timeout_s);
  auto status = child.wait(limit);  // on a timeout the child dies with its object
  if (!status) return std::move(status).error();
  if (status->code != 0)
    return base::make_error(base::ErrorKind::internal, status->signal ? "killed by signal " + std::to_string(status->signal)
                                                                      : "exit code " + std::to_string(status->code));
  return {};
}

}  // namespace

Result<> run_hooks(const std::vector<spec::Hook>& hooks, const std::string& state, const char* kind) {
  for (const auto& hook : hooks) {
    auto done = run_hook(hook, state);
    if (!done) return std::move(done).with(std::string("hooks.") + kind + " " + hook.path);
  }
  return {};
}

}  // namespace runtime
