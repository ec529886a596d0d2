#include "runtime/linux/hooks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"

namespace runtime {

using base::Result;
using base::UniqueFd;

namespace {

Result<UniqueFd> output_file(const HookRun& run, const char* annotation) {
  if (!run.annotations) return UniqueFd();
  const auto file = run.annotations->find(annotation);
  if (file == run.annotations->end()) return UniqueFd();
  return base::sys::open(file->second, O_WRONLY | O_CREAT | O_APPEND, 0700).with(std::string("annotation ") + annotation);
}

Result<> run_hook(const spec::Hook& hook, const HookRun& run, const char* kind) {
  ASSIGN_OR_RETURN(const auto input, base::sys::memfd_create("state", 0));
  TRY(base::sys::write_all(input.borrow(), run.state));
  (void)::lseek(input.number(), 0, SEEK_SET);
  ASSIGN_OR_RETURN(const auto out, output_file(run, "run.oci.hooks.stdout"));
  ASSIGN_OR_RETURN(const auto err, output_file(run, "run.oci.hooks.stderr"));
  base::SpawnOptions options;
  options.program = hook.path;
  options.arguments = hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args;
  options.environment = hook.env;
  if (!hook.env && run.environment) options.environment = *run.environment;
  options.working_dir = run.working_dir;
  options.fds = {{input.borrow(), 0}, {out.valid() ? out.borrow() : base::Fd(2), 1}, {err.valid() ? err.borrow() : base::Fd(2), 2}};
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  std::optional<std::chrono::milliseconds> limit;
  if (hook.timeout_s) limit = std::chrono::seconds(*hook.timeout_s);
  auto status = child.wait(limit);  // on a timeout the child dies with its object
  if (!status) return std::move(status).error();
  if (status->code == 0) return {};
  return base::make_error(base::ErrorKind::internal,
                          std::string(kind) + (status->signal ? " hook killed by signal " + std::to_string(status->signal)
                                                              : " hook failed with exit code " + std::to_string(status->code)));
}

/// Named by property and path, and in the words and with the count from zero that users know from runc.
std::string place(const char* kind, const std::vector<spec::Hook>& hooks, std::size_t index) {
  return std::string("hooks.") + kind + " " + hooks[index].path + ": error running " + kind + " hook #" + std::to_string(index);
}

}  // namespace

Result<> run_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind) {
  for (std::size_t index = 0; index < hooks.size(); ++index) TRY(run_hook(hooks[index], run, kind).with(place(kind, hooks, index)));
  return {};
}

std::vector<base::Error> run_all_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind) {
  std::vector<base::Error> failed;
  for (std::size_t index = 0; index < hooks.size(); ++index)
    if (auto done = run_hook(hooks[index], run, kind).with(place(kind, hooks, index)); !done) failed.push_back(std::move(done).error());
  return failed;
}

}  // namespace runtime
