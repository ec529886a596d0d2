#include "runtime/linux/hooks.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <csignal>
#include <cstring>

#include "base/process.h"
#include "base/sys.h"
#include "runtime/linux/process.h"

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

Result<UniqueFd> input_of(const std::string& state) {
  ASSIGN_OR_RETURN(auto input, base::sys::memfd_create("state", 0));
  TRY(base::sys::write_all(input.borrow(), state));
  (void)::lseek(input.number(), 0, SEEK_SET);
  return input;
}

std::vector<std::string> words_of(const spec::Hook& hook) { return hook.args.empty() ? std::vector<std::string>{hook.path} : hook.args; }

Result<> judge(const base::ExitStatus& status, const char* kind) {
  if (status.code == 0) return {};
  if (status.signal == 0)
    return base::make_error(base::ErrorKind::internal, std::string(kind) + " hook failed with exit code " + std::to_string(status.code));
  std::string name = ::strsignal(status.signal);
  name.front() = static_cast<char>(std::tolower(name.front()));
  return base::make_error(base::ErrorKind::internal, std::string(kind) + " hook killed by signal " + std::to_string(status.signal) + " (" + name + ")");
}

Result<> run_hook(const spec::Hook& hook, const HookRun& run, const char* kind) {
  ASSIGN_OR_RETURN(const auto input, input_of(run.state));
  ASSIGN_OR_RETURN(const auto out, output_file(run, "run.oci.hooks.stdout"));
  ASSIGN_OR_RETURN(const auto err, output_file(run, "run.oci.hooks.stderr"));
  base::SpawnOptions options;
  options.program = hook.path;
  options.arguments = words_of(hook);
  options.environment = hook.env;
  options.working_dir = run.working_dir;
  options.fds = {{input.borrow(), 0}, {out.valid() ? out.borrow() : base::Fd(2), 1}, {err.valid() ? err.borrow() : base::Fd(2), 2}};
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  std::optional<std::chrono::milliseconds> limit;
  if (hook.timeout_s) limit = std::chrono::seconds(*hook.timeout_s);
  auto status = child.wait(limit);  // on a timeout the child dies with its object
  if (!status) return std::move(status).error();
  return judge(*status, kind);
}

std::vector<char*> pointers(const std::vector<std::string>& words) {
  std::vector<char*> out;
  for (const std::string& word : words) out.push_back(const_cast<char*>(word.c_str()));
  out.push_back(nullptr);
  return out;
}

volatile sig_atomic_t running_hook = 0, out_of_time = 0;

/// Kills the hook whose time has passed. No pidfd and no signal mask: a filter may forbid them.
void on_alarm(int) {
  const int saved = errno;
  out_of_time = 1;
  if (running_hook > 0) (void)::kill(running_hook, SIGKILL);
  errno = saved;
}

[[noreturn]] void become_hook(const std::vector<char*>& words, const std::vector<char*>& variables, const char* path, base::Fd input) {
  reset_signals();
  if (::dup2(input.number(), 0) < 0 || ::dup2(2, 1) < 0) ::_exit(126);
  (void)::syscall(SYS_close_range, 3U, ~0U, 0U);  // what is left without is close-on-exec, but for --preserve-fds
  (void)::execve(path, words.data(), variables.data());
  (void)!::write(2, path, std::strlen(path));
  (void)!::write(2, ": cannot be executed\n", 21);
  ::_exit(errno == ENOENT ? 127 : 126);
}

/// Like run_hook(), with the fewest system calls.
Result<> run_inside(const spec::Hook& hook, const std::vector<std::string>& environment, base::Fd input, const char* kind) {
  const auto words = words_of(hook);
  const std::vector<char*> word_pointers = pointers(words), variable_pointers = pointers(hook.env ? *hook.env : environment);
  out_of_time = 0;
  running_hook = 0;
  const pid_t child = ::fork();
  if (child < 0) return base::errno_error(errno, "starting " + hook.path);
  if (child == 0) become_hook(word_pointers, variable_pointers, hook.path.c_str(), input);
  running_hook = child;
  if (hook.timeout_s) (void)::alarm(static_cast<unsigned>(*hook.timeout_s));
  int status = 0;
  pid_t ended;
  while ((ended = ::waitpid(child, &status, 0)) < 0 && errno == EINTR) {
  }
  const int number = errno;
  running_hook = 0;
  if (hook.timeout_s) (void)::alarm(0);
  if (ended < 0) return base::errno_error(number, "waiting for " + hook.path);
  if (out_of_time) return base::make_error(base::ErrorKind::timeout, "process still runs");
  return judge(base::ExitStatus::from_wait(status), kind);
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

Result<ContainerHooks> ContainerHooks::prepare(const std::vector<spec::Hook>& hooks, const std::string& state,
                                              const std::vector<std::string>& environment) {
  ContainerHooks out;
  out.hooks_ = &hooks;
  out.environment_ = &environment;
  for (std::size_t index = 0; index < hooks.size(); ++index) {
    ASSIGN_OR_RETURN(auto input, input_of(state));
    out.inputs_.push_back(std::move(input));
  }
  if (hooks.empty()) return out;
  struct sigaction action {};
  action.sa_handler = on_alarm;
  (void)::sigaction(SIGALRM, &action, nullptr);
  sigset_t alarm;
  ::sigemptyset(&alarm);
  ::sigaddset(&alarm, SIGALRM);
  (void)::sigprocmask(SIG_UNBLOCK, &alarm, nullptr);
  return out;
}

Result<> ContainerHooks::run() const {
  constexpr const char* kind = "startContainer";
  for (std::size_t index = 0; index < hooks_->size(); ++index)
    TRY(run_inside((*hooks_)[index], *environment_, inputs_[index].borrow(), kind).with(place(kind, *hooks_, index)));
  return {};
}

std::vector<base::Error> run_all_hooks(const std::vector<spec::Hook>& hooks, const HookRun& run, const char* kind) {
  std::vector<base::Error> failed;
  for (std::size_t index = 0; index < hooks.size(); ++index)
    if (auto done = run_hook(hooks[index], run, kind).with(place(kind, hooks, index)); !done) failed.push_back(std::move(done).error());
  return failed;
}

}  // namespace runtime
