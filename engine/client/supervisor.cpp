// Starting a project's supervisor, and having it do things.
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <thread>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/client/client.h"
#include "engine/client/http.h"
#include "engine/client/reads.h"
#include "engine/store/info.h"

namespace engine::client {
namespace {

using base::ErrorKind;
using base::Result;
using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto start_limit = 20s;  ///< adoption after a crash may have much to do on a busy machine
constexpr int attempts_max = 20;   ///< supervisors killed one after the other under one request

bool answers(const std::string& project) { return base::sys::connect_unix(paths::api_socket(project)).has_value(); }

/// Spawns the keeper and waits for its supervisor's word.
Result<> start_keeper(const std::string& project) {
  ASSIGN_OR_RETURN(const auto program, base::find_program("compose-engine"));
  const auto folder = paths::project_run(project);
  TRY(base::sys::make_directories(paths::run_dir(), 0711));
  TRY(base::sys::make_directories(folder, 0700));
  ASSIGN_OR_RETURN(auto log, base::sys::open(folder / "engine.log", O_WRONLY | O_CREAT | O_APPEND, 0600));
  ASSIGN_OR_RETURN(auto pipe, base::sys::pipe());
  base::SpawnOptions options;
  options.program = program;
  options.arguments = {"compose-engine", "keeper", "--project", project, "--ready-fd", "3"};
  options.fds = {{log.borrow(), STDERR_FILENO}, {pipe.second.borrow(), 3}};
  options.working_dir = "/";
  options.new_session = true;
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  pipe.second.reset();
  TRY(child.wait());  // it has gone to the background at once
  std::string text;
  std::array<char, 4096> buffer;
  const auto deadline = Clock::now() + start_limit;
  while (!text.ends_with('\n')) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd ready{pipe.first.number(), POLLIN, 0};
    const int count = ::poll(&ready, 1, static_cast<int>(std::max<long>(left.count(), 0)));
    if (count == 0) return base::make_error(ErrorKind::timeout, "the supervisor of " + project + " does not come up; see " + (folder / "engine.log").string());
    if (count < 0 && errno == EINTR) continue;
    auto got = base::sys::read(pipe.first.borrow(), buffer);
    if (!got || *got == 0) break;  // it met another one, or died: connecting tells
    text.append(buffer.data(), *got);
  }
  while (text.ends_with('\n')) text.pop_back();
  if (text.empty() || text == "ok") return {};
  return base::make_error(ErrorKind::unavailable, text);
}

/// A process leaves its cgroups a moment after it closed its files. The unified hierarchy tells when; of version 1 the list of
/// processes has to be looked at. Source: kernel Documentation/admin-guide/cgroup-v2.rst, cgroup.events; cgroup-v1/cgroups.rst.
void wait_until_empty(const std::filesystem::path& group, Clock::time_point deadline) {
  const auto events = base::sys::open(group / "cgroup.events", O_RDONLY);
  for (std::array<char, 256> text{}; events && Clock::now() < deadline;) {
    const auto count = ::pread(events->number(), text.data(), text.size(), 0);
    if (count <= 0 || std::string_view(text.data(), static_cast<std::size_t>(count)).find("populated 1") == std::string_view::npos) return;
    pollfd change{events->number(), POLLPRI, 0};
    (void)::poll(&change, 1, 100);
  }
  while (!events && Clock::now() < deadline) {
    const auto processes = base::sys::read_file(group / "cgroup.procs");
    if (!processes || processes->empty()) return;
    std::this_thread::sleep_for(1ms);
  }
}

/// After the last container: the supervisor is on its way out, and whoever comes next shall find nothing of it.
void wait_until_left(const std::string& project) {
  const auto path = paths::project_run(project) / "keeper.lock";
  const auto deadline = Clock::now() + 1s;
  while (Clock::now() < deadline) {
    auto fd = base::sys::open(path, O_RDONLY);
    if (!fd || ::flock(fd->number(), LOCK_SH | LOCK_NB) == 0) break;
    std::this_thread::sleep_for(1ms);
  }
  for (const auto& group : paths::engine_cgroups(project)) {
    wait_until_empty(group, deadline);
    (void)::rmdir(group.c_str());
    (void)::rmdir(group.parent_path().c_str());
    (void)::rmdir(group.parent_path().parent_path().c_str());
  }
}

std::string fresh_id() {
  static int count = 0;
  return std::to_string(::getpid()) + "-" + std::to_string(now()) + "-" + std::to_string(++count);
}

struct Lines {
  std::string rest;
  /// The next whole line, without its end.
  std::optional<std::string> next() {
    const std::size_t end = rest.find('\n');
    if (end == std::string::npos) return std::nullopt;
    std::string line = rest.substr(0, end);
    rest.erase(0, end + 1);
    return line;
  }
};

/// Takes the member out of {"name":VALUE} or {"leaving":…,"outcome":VALUE}: the supervisor writes these lines itself, in this form.
std::string_view member(std::string_view line, std::string_view name) {
  const std::string key = "\"" + std::string(name) + "\":";
  const std::size_t at = line.substr(0, 32).find(key);
  if (at == std::string_view::npos || !line.ends_with('}')) return {};
  return line.substr(at + key.size(), line.size() - at - key.size() - 1);
}

/// Watches one telling of the plan to its end. An Error unavailable means that it has to be told again.
Result<Outcome> watch(const std::string& project, Answer answer, const std::string& id, const ExecuteOptions& options) {
  if (answer.status != 200) {
    ASSIGN_OR_RETURN(auto text, read_body(answer));
    ASSIGN_OR_RETURN(auto error, from_json<base::Error>(text));
    return error;
  }
  Lines lines{std::move(answer.body)};
  std::array<char, 65536> buffer;
  while (true) {
    while (auto line = lines.next()) {
      if (const auto text = member(*line, "progress"); !text.empty()) {
        ASSIGN_OR_RETURN(const auto progress, from_json<Progress>(text));
        if (options.on_progress) options.on_progress(progress);
      } else if (const auto end = member(*line, "outcome"); !end.empty()) {
        ASSIGN_OR_RETURN(auto outcome, from_json<Outcome>(end));
        if (line->starts_with("{\"leaving\":true")) {
          answer.socket.reset();
          wait_until_left(project);
        }
        return outcome;
      }
    }
    ASSIGN_OR_RETURN(const bool more, readable(answer.socket.borrow(), options.interrupt));
    if (!more) {
      const auto wish = options.on_interrupt ? options.on_interrupt() : OnInterrupt::cancel;
      if (wish == OnInterrupt::cancel) (void)!call(project, "/plan/" + id + "/cancel").has_value();
      if (wish == OnInterrupt::detach) {
        Outcome outcome;
        outcome.cancelled = true;
        return outcome;
      }
      continue;
    }
    auto count = base::sys::read(answer.socket.borrow(), buffer);
    if (!count || *count == 0) return base::make_error(ErrorKind::unavailable, "the supervisor went away");
    lines.rest.append(buffer.data(), *count);
  }
}

/// Has `talk` talk to a supervisor, again with the next one when it went away.
template <class Talk>
auto insist(const std::string& project, Talk talk) -> decltype(talk()) {
  for (int attempt = 1;; ++attempt) {
    TRY(ensure_supervisor(project));
    auto done = talk();
    const bool again = !done && (done.error().kind == ErrorKind::unavailable || done.error().kind == ErrorKind::not_found) &&
                       !answers(project);
    const bool vanished = !done && done.error().message == "the supervisor went away";
    if (!(again || vanished) || attempt == attempts_max) return done;
    std::this_thread::sleep_for(std::chrono::milliseconds(std::min(attempt * 2, 50)));
  }
}

}  // namespace

bool supervisor_runs(const std::string& project) { return answers(project); }

Result<> ensure_supervisor(const std::string& project) {
  const auto deadline = Clock::now() + start_limit;
  while (!answers(project)) {
    TRY(start_keeper(project));
    if (answers(project)) return {};
    // The one we met is leaving, or its keeper is just starting the next.
    if (Clock::now() > deadline)
      return base::make_error(ErrorKind::unavailable, "the supervisor of " + project + " does not answer; see " +
                                                          (paths::project_run(project) / "engine.log").string());
    std::this_thread::sleep_for(2ms);
  }
  return {};
}

Result<> revive(const std::string& project) {
  if (answers(project)) return {};
  ASSIGN_OR_RETURN(auto* store, store_to_read());
  if (store == nullptr) return {};
  ASSIGN_OR_RETURN(const auto rows, store->containers(project));
  const bool needed = std::any_of(rows.begin(), rows.end(), [](const store::ContainerRecord& row) {
    const auto state = row.run.state;
    return state == ContainerState::running || state == ContainerState::paused || state == ContainerState::restarting ||
           !row.run.engine_json.empty();
  });
  return needed ? ensure_supervisor(project) : Result<>();
}

Result<Outcome> execute(const std::string& project, const Plan& plan, const ExecuteOptions& options) {
  const std::string id = fresh_id();
  std::string body = to_json(plan);
  return insist(project, [&, told = false]() mutable -> Result<Outcome> {
    if (std::exchange(told, true) && !plan.again) {
      Plan again = plan;
      again.again = true;
      body = to_json(again);
    }
    ASSIGN_OR_RETURN(auto answer, request(project, "POST", "/plan?id=" + id, body));
    return watch(project, std::move(answer), id, options);
  });
}

Result<std::optional<int>> wait(const std::string& project, const std::string& name, base::Fd interrupt) {
  return insist(project, [&]() -> Result<std::optional<int>> {
    ASSIGN_OR_RETURN(auto answer, request(project, "POST", "/containers/" + escape(name) + "/wait", ""));
    ASSIGN_OR_RETURN(const bool more, readable(answer.socket.borrow(), interrupt));
    if (!more) return base::make_error(ErrorKind::cancelled, "interrupted");
    ASSIGN_OR_RETURN(const auto text, read_body(answer));
    if (answer.status != 200) {
      ASSIGN_OR_RETURN(auto error, from_json<base::Error>(text));
      return error;
    }
    // {"exit_code":N} or {"exit_code":null}
    int code = 0;
    const std::size_t at = text.find(':');
    if (at == std::string::npos) return base::make_error(ErrorKind::unavailable, "the supervisor went away");
    const auto [end, wrong] = std::from_chars(text.data() + at + 1, text.data() + text.size(), code);
    return wrong == std::errc() ? std::optional(code) : std::optional<int>();
  });
}

Result<> resize(const std::string& project, const std::string& name, unsigned rows, unsigned columns) {
  TRY(call(project, "/containers/" + escape(name) + "/resize?rows=" + std::to_string(rows) + "&columns=" + std::to_string(columns)));
  return {};
}

}  // namespace engine::client
