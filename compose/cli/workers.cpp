#include "compose/cli/workers.h"

#include <poll.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "base/process.h"
#include "base/sys.h"
#include "compose/cli/interrupts.h"

namespace compose::cli {

using base::Result;
using base::UniqueFd;

namespace {

constexpr std::size_t error_limit_bytes = 256 * 1024;

struct Running {
  std::size_t job;
  base::ChildProcess child;
  UniqueFd output, errors;
  std::string line, error_text;
};

Result<Running> launch(const std::filesystem::path& program, std::size_t index, const Job& job) {
  ASSIGN_OR_RETURN(auto output, base::sys::pipe());
  ASSIGN_OR_RETURN(auto errors, base::sys::pipe());
  // The request goes through a file in memory: no pipe to feed while the worker already talks.
  ASSIGN_OR_RETURN(const auto input, base::sys::memfd_create("request", MFD_CLOEXEC));
  TRY(base::sys::write_all(input.borrow(), job.input));
  ::lseek(input.number(), 0, SEEK_SET);
  base::SpawnOptions spawn;
  spawn.program = program;
  spawn.arguments = {"compose-image"};
  spawn.arguments.insert(spawn.arguments.end(), job.arguments.begin(), job.arguments.end());
  // A worker does not outlive us: it sees its parent's end, but it must know who that is.
  spawn.environment.emplace();
  for (char** entry = environ; *entry != nullptr; ++entry) spawn.environment->emplace_back(*entry);
  spawn.environment->push_back("COMPOSE_WORKER_OF=" + std::to_string(::getpid()));
  spawn.fds.emplace_back(job.our_input ? base::Fd(STDIN_FILENO) : input.borrow(), 0);
  spawn.fds.emplace_back(job.our_output ? base::Fd(STDOUT_FILENO) : output.second.borrow(), 1);
  spawn.fds.emplace_back(errors.second.borrow(), 2);
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(spawn));
  return Running{.job = index, .child = std::move(child), .output = std::move(output.first), .errors = std::move(errors.first),
                 .line = {}, .error_text = {}};
}

void deliver(Running& running, const Job& job, std::string_view bytes) {
  for (const char c : bytes) {
    if (c != '\n') {
      running.line += c;
      continue;
    }
    if (job.on_line) job.on_line(running.line);
    running.line.clear();
  }
}

/// Reads what is there; closes the descriptor at the end of the stream.
std::string drain(UniqueFd& fd) {
  std::string bytes(65536, '\0');
  const auto count = base::sys::read(fd.borrow(), std::span<char>(bytes.data(), bytes.size()));
  if (!count || *count == 0) {
    fd.reset();
    return {};
  }
  bytes.resize(*count);
  return bytes;
}

class Pool {
 public:
  Pool(std::vector<Job> jobs, const WorkersOptions& options, std::filesystem::path program, Interrupts interrupts)
      : jobs_(std::move(jobs)), options_(options), program_(std::move(program)), interrupts_(std::move(interrupts)),
        state_(jobs_.size(), State::waiting) {}

  Result<bool> run() {
    for (;;) {
      TRY(start_ready());
      if (running_.empty()) break;
      wait_some();
    }
    if (cancelled_) return base::make_error(base::ErrorKind::cancelled, "canceled");
    return std::all_of(state_.begin(), state_.end(), [](State state) { return state == State::done; });
  }

 private:
  enum class State : std::uint8_t { waiting, running, done, failed };

  Result<> start_ready() {
    for (std::size_t i = 0; i < jobs_.size(); ++i) {
      if (state_[i] != State::waiting || cancelled_ || (failed_ && !options_.keep_going)) continue;
      if (options_.parallel > 0 && running_.size() >= static_cast<std::size_t>(options_.parallel)) break;
      const auto& after = jobs_[i].after;
      if (!std::all_of(after.begin(), after.end(), [&](std::size_t j) { return state_[j] == State::done; })) continue;
      ASSIGN_OR_RETURN(auto running, launch(program_, i, jobs_[i]));
      running_.push_back(std::move(running));
      state_[i] = State::running;
      if (jobs_[i].on_start) jobs_[i].on_start();
    }
    return {};
  }

  void wait_some() {
    std::vector<pollfd> polls{{interrupts_.fd().number(), POLLIN, 0}};
    for (const auto& running : running_) {
      polls.push_back({running.output.number(), POLLIN, 0});
      polls.push_back({running.errors.number(), POLLIN, 0});
    }
    if (::poll(polls.data(), polls.size(), -1) < 0) return;
    if (polls[0].revents != 0) on_wake();
    for (std::size_t i = 0; i < running_.size(); ++i) {
      Running& running = running_[i];
      if (polls[1 + 2 * i].revents != 0) deliver(running, jobs_[running.job], drain(running.output));
      if (polls[2 + 2 * i].revents != 0) {
        if (auto text = drain(running.errors); running.error_text.size() < error_limit_bytes) running.error_text += text;
      }
    }
    std::erase_if(running_, [&](Running& running) { return finish(running); });
  }

  bool finish(Running& running) {
    if (running.output.valid() || running.errors.valid()) return false;
    Job& job = jobs_[running.job];
    if (!running.line.empty()) deliver(running, job, "\n");
    const auto status = running.child.wait();
    const int code = status ? status->code : 1;
    while (running.error_text.ends_with('\n')) running.error_text.pop_back();
    state_[running.job] = code == 0 ? State::done : State::failed;
    failed_ = failed_ || code != 0;
    if (job.on_end) job.on_end(code, running.error_text);
    return true;
  }

  void on_wake() {
    for (auto wake = interrupts_.next(); wake != Wake::none; wake = interrupts_.next()) {
      if (wake == Wake::tick && options_.on_tick) options_.on_tick();
      if (wake != Wake::interrupt && wake != Wake::terminate) continue;
      // On a terminal the workers got the signal too; a second one does no harm, and a kill of us alone must reach them.
      for (auto& running : running_) (void)running.child.kill(cancelled_ ? SIGKILL : SIGINT);
      cancelled_ = true;
    }
  }

  std::vector<Job> jobs_;
  const WorkersOptions& options_;
  std::filesystem::path program_;
  Interrupts interrupts_;
  std::vector<State> state_;
  std::vector<Running> running_;
  bool cancelled_ = false, failed_ = false;
};

}  // namespace

Result<bool> run_workers(std::vector<Job> jobs, const WorkersOptions& options) {
  if (jobs.empty()) return true;
  ASSIGN_OR_RETURN(auto program, base::find_program("compose-image"));
  ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(100));
  Pool pool(std::move(jobs), options, std::move(program), std::move(interrupts));
  return pool.run();
}

base::Error become_image_program(const std::vector<std::string>& arguments) {
  const auto program = base::find_program("compose-image");
  if (!program) return program.error();
  std::vector<std::string> words{"compose-image"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (auto& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);
  std::signal(SIGPIPE, SIG_DFL);
  ::execv(program->c_str(), argv.data());
  return base::errno_error(errno, "exec " + program->string());
}

}  // namespace compose::cli
