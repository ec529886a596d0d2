// Finding and executing the program; PID 1's small duties.
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/sys.h"
#include "runtime/linux/process.h"
#include "runtime/linux/sync.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

std::string_view environment_value(const std::vector<std::string>& environment, std::string_view name) {
  std::string_view found;
  for (const std::string& variable : environment)
    if (variable.starts_with(name) && variable.size() > name.size() && variable[name.size()] == '=')
      found = std::string_view(variable).substr(name.size() + 1);
  return found;
}

constexpr int not_found_code = 127, not_executable_code = 126;

base::Error exec_error(ErrorKind kind, const std::string& command, const std::string& why, int code) {
  return with_exit_code(base::make_error(kind, "exec: \"" + command + "\": " + why), code);
}

/// 0, or the errno why `path` is no program.
int check_program(const std::string& path) {
  struct stat about {};
  if (::stat(path.c_str(), &about) != 0) return errno;
  if (S_ISDIR(about.st_mode)) return EISDIR;
  // access(2) says yes to root when any execute bit is set, as execve does.
  return ::access(path.c_str(), X_OK) == 0 ? 0 : errno;
}

}  // namespace

Result<std::string> find_executable(const spec::Process& process) {
  const std::string& command = process.args.front();
  if (command.find('/') != std::string::npos) {
    // Relative to the program's working directory, which is not ours yet.
    const std::string path = command.starts_with('/') ? command : process.cwd + "/" + command;
    const int number = check_program(path);
    if (number == 0) return command;
    if (number == ENOENT || number == ENOTDIR)
      return exec_error(ErrorKind::not_found, command, "stat " + command + ": " + (number == ENOENT ? "no such file or directory" : "not a directory"),
                        not_found_code);
    return exec_error(ErrorKind::permission, command, number == EISDIR ? "is a directory" : "permission denied", not_executable_code);
  }
  int denied = 0;
  std::string found;
  for_each_word(environment_value(process.env, "PATH"), ':', [&](std::string_view folder) {
    if (!found.empty() || !folder.starts_with('/')) return;
    std::string path = std::string(folder) + "/" + command;
    const int number = check_program(path);
    if (number == 0) found = std::move(path);
    if (number == EACCES) denied = number;
  });
  if (!found.empty()) return found;
  if (denied) return exec_error(ErrorKind::permission, command, "permission denied", not_executable_code);
  return exec_error(ErrorKind::not_found, command, "executable file not found in $PATH", not_found_code);
}

std::vector<std::string> final_environment(const spec::Process& process) {
  std::vector<std::string> out;
  std::unordered_map<std::string_view, std::size_t> places;
  for (const std::string& variable : process.env) {
    const std::string_view name = std::string_view(variable).substr(0, variable.find('='));
    const auto [at, fresh] = places.emplace(name, out.size());
    if (fresh)
      out.push_back(variable);
    else
      out[at->second] = variable;
  }
  const auto given = places.find("HOME");
  // An empty one is none, as under runc.
  if (given != places.end() && out[given->second] != "HOME=") return out;
  std::string home = "/";
  if (const auto users = sys::read_file("/etc/passwd", 1 << 20)) {
    const std::string uid = std::to_string(process.user.uid);
    bool found = false;
    for_each_word(*users, '\n', [&](std::string_view line) {
      std::array<std::string_view, 7> fields;
      std::size_t count = 0;
      while (count < fields.size()) {
        const std::size_t end = line.find(':');
        fields[count++] = line.substr(0, end);
        if (end == std::string_view::npos) break;
        line.remove_prefix(end + 1);
      }
      if (found || count < 6 || fields[2] != uid) return;
      found = true;
      if (!fields[5].empty()) home = fields[5];
    });
  }
  if (given != places.end())
    out[given->second] = "HOME=" + home;
  else
    out.push_back("HOME=" + home);
  return out;
}

base::Error execute(const std::string& path, const spec::Process& process, const std::vector<std::string>& environment) {
  std::vector<char*> arguments, variables;
  for (const auto& argument : process.args) arguments.push_back(const_cast<char*>(argument.c_str()));
  for (const auto& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
  arguments.push_back(nullptr);
  variables.push_back(nullptr);
  (void)::execve(path.c_str(), arguments.data(), variables.data());
  const int number = errno;
  const auto& command = process.args.front();
  if (number == ENOENT || number == ENOTDIR)  // the file is there, so its interpreter is not
    return exec_error(ErrorKind::not_found, command, std::string(std::strerror(number)) + " (its interpreter is missing)", not_found_code);
  auto error = exec_error(number == EACCES || number == EPERM ? ErrorKind::permission : ErrorKind::io, command,
                          number == ENOEXEC ? "exec format error" : number == EACCES ? "permission denied" : std::strerror(number),
                          not_executable_code);
  error.number = number;
  return error;
}

namespace {

volatile sig_atomic_t served_child = 0;
std::span<char> command_line;  // set once by main

/// /proc/1/cmdline would tell the container paths of the host.
void hide_command_line() {
  constexpr std::string_view name = "docker-init";
  std::ranges::fill(command_line, '\0');
  std::ranges::copy(name.substr(0, command_line.size()), command_line.begin());
}

void forward(int number) {
  const int saved = errno;
  if (served_child > 0) (void)::kill(served_child, number);
  errno = saved;
}

}  // namespace

void remember_command_line(int count, char** arguments) {
  // The kernel lays all arguments out one after the other.
  if (count > 0) command_line = {arguments[0], arguments[count - 1] + std::strlen(arguments[count - 1])};
}

void serve_as_init(pid_t child) {
  served_child = child;
  hide_command_line();
  (void)::prctl(PR_SET_NAME, "docker-init", 0, 0, 0);
  struct sigaction action {};
  action.sa_handler = forward;
  action.sa_flags = SA_RESTART;
  for (int number = 1; number < NSIG; ++number)
    if (number != SIGKILL && number != SIGSTOP && number != SIGCHLD && number != SIGFPE && number != SIGILL &&
        number != SIGSEGV && number != SIGBUS && number != SIGABRT && number != SIGTRAP && number != SIGSYS &&
        number != SIGTTIN && number != SIGTTOU && number != SIGTSTP && number != SIGCONT)
      (void)::sigaction(number, &action, nullptr);
  while (true) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    if (pid < 0 && errno == EINTR) continue;
    if (pid < 0) ::_exit(1);
    if (pid != child) continue;
    served_child = 0;
    ::_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
  }
}

}  // namespace runtime
