// watch: files of this machine that change are copied into containers, or make them restart or be built anew.
#include <poll.h>

#include <algorithm>
#include <cstdlib>

#include "base/process.h"
#include "base/sys.h"
#include "compose/cli/background_watch.h"
#include "compose/cli/context.h"
#include "compose/cli/execute.h"
#include "compose/cli/file_watch.h"
#include "compose/cli/globals.h"
#include "compose/cli/interrupts.h"
#include "compose/cli/output.h"
#include "compose/cli/up.h"
#include "compose/cli/verbs.h"
#include "compose/cli/workers.h"
#include "engine/build/ignore.h"
#include "engine/client/client.h"

namespace compose::cli {

namespace fs = std::filesystem;
using base::ErrorKind;
using base::make_error;
using base::Result;
using engine::build::IgnoreRules;

namespace {

/// Changes that come closer together than this are one, as Docker Compose has it.
constexpr int quiet_ms = 500;
/// Files a worker gets at once: far below what a command line may hold.
constexpr std::size_t files_max = 200;

/// What editors leave for a moment.
const std::vector<std::string> passing{"**/.git", "**/.idea", "**/*___jb_old___", "**/*___jb_tmp___", "**/.#*", "**/#*#", "**/4913", "**/*~",
                                       "**/.*.swp", "**/.*.swx", "**/.*.swo", "**/.*.swn", "**/.*.kate-swp", "**/.goutputstream-*"};

struct Rule {
  std::string service, root;
  model::WatchRule wanted;
  IgnoreRules ignored, included;       ///< relative to root
  std::string context;                 ///< "" = not built from a folder
  IgnoreRules context_ignored;         ///< its .dockerignore

  [[nodiscard]] bool has(std::string_view action) const { return wanted.action.find(action) != std::string::npos; }
  [[nodiscard]] std::string relative(const std::string& path) const { return path.size() > root.size() ? path.substr(root.size() + 1) : ""; }
  [[nodiscard]] bool leaves_out(const std::string& path) const {
    const auto name = relative(path);
    if (!name.empty() && ignored.ignored(name)) return true;
    return !context.empty() && is_below(path, context) && path != context && context_ignored.ignored(path.substr(context.size() + 1));
  }
  [[nodiscard]] bool concerns(const std::string& path) const {
    if (!is_below(path, root) || leaves_out(path)) return false;
    return included.empty() || included.ignored(path == root ? fs::path(path).filename().string() : relative(path));
  }
  /// Nothing below `path` can concern it.
  [[nodiscard]] bool skips(const std::string& path) const {
    if (!is_below(path, root)) return !is_below(root, path);
    return leaves_out(path) && !ignored.has_exceptions() && !context_ignored.has_exceptions();
  }
  [[nodiscard]] std::string target(const std::string& path) const {
    const auto name = relative(path);
    return name.empty() ? wanted.target : (fs::path(wanted.target) / name).string();
  }
};

Result<IgnoreRules> docker_ignore(const model::Build& build) {
  std::error_code ignored;
  const fs::path context = build.context;
  const auto dockerfile = fs::path(build.dockerfile.empty() ? "Dockerfile" : build.dockerfile);
  for (const auto& file : {(context / dockerfile).string() + ".dockerignore", (context / ".dockerignore").string()}) {
    if (!fs::exists(file, ignored)) continue;
    ASSIGN_OR_RETURN(const auto text, base::sys::read_file(file));
    return IgnoreRules::parse(text).with(file);
  }
  return IgnoreRules();
}

Result<std::vector<Rule>> rules_of(const model::Project& project, const std::vector<std::string>& services) {
  std::vector<Rule> rules;
  for (const auto& [name, service] : project.services) {
    if (!services.empty() && std::find(services.begin(), services.end(), name) == services.end()) continue;
    for (const auto& wanted : service.develop_watch) {
      if (wanted.action == "rebuild" && !service.build)
        return make_error(ErrorKind::invalid, "can't watch service \"" + name + "\" with action rebuild without a build context");
      Rule rule{.service = name, .root = fs::path(wanted.path).lexically_normal().string(), .wanted = wanted, .ignored = {}, .included = {}, .context = "", .context_ignored = {}};
      while (rule.root.size() > 1 && rule.root.ends_with('/')) rule.root.pop_back();
      auto patterns = passing;
      patterns.insert(patterns.end(), wanted.ignore.begin(), wanted.ignore.end());
      ASSIGN_OR_RETURN(rule.ignored, IgnoreRules::from_patterns(patterns).with("develop.watch.ignore of " + name));
      ASSIGN_OR_RETURN(rule.included, IgnoreRules::from_patterns(wanted.include).with("develop.watch.include of " + name));
      if (service.build && service.build->context.starts_with('/')) {
        rule.context = service.build->context;
        ASSIGN_OR_RETURN(rule.context_ignored, docker_ignore(*service.build));
      }
      rules.push_back(std::move(rule));
    }
  }
  if (rules.empty()) return make_error(ErrorKind::invalid, "none of the selected services is configured for watch, consider setting a 'develop' section");
  return rules;
}

/// What the changes of a moment ask of one service.
struct Work {
  std::map<std::string, std::string> files;  ///< target → host
  bool rebuild = false, restart = false;
  std::vector<const model::Hook*> commands;
};

std::map<std::string, Work> work_for(const std::vector<Rule>& rules, const std::set<std::string>& changed) {
  std::map<std::string, Work> all;
  for (const auto& rule : rules) {
    std::map<std::string, std::string> files;
    bool any = false;
    std::error_code ignored;
    for (const auto& path : changed) {
      if (!rule.concerns(path)) continue;
      any = true;
      if (!fs::is_directory(fs::symlink_status(path, ignored))) files[rule.target(path)] = path;
    }
    if (!any) continue;
    Work& work = all[rule.service];
    work.rebuild |= rule.has("rebuild");
    work.restart |= rule.has("restart");
    if (rule.has("sync")) work.files.merge(files);
    if (rule.wanted.exec) work.commands.push_back(&*rule.wanted.exec);
  }
  return all;
}

/// A failure is told of, and the watch goes on.
void complain(const base::Error& error) { warn("Error handling changed files: " + error.text()); }

class Watcher {
 public:
  struct Options {
    bool quiet = false, prune = true;
    int status = -1;  ///< told what goes on (BackgroundWatch); who reads it is waited on no longer than he lives
  };
  Watcher(std::string project, std::vector<Rule> rules, Options options) : project_(std::move(project)), rules_(std::move(rules)), options_(options) {}

  Result<int> run() {
    ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(0));
    ASSIGN_OR_RETURN(auto files, FileWatch::open([this](const std::string& path) {
      return std::all_of(rules_.begin(), rules_.end(), [&](const Rule& rule) { return rule.skips(path); });
    }));
    for (const auto& rule : rules_) TRY(files.add(rule.root));
    initial_sync(files);
    out("Watch enabled\n");
    std::set<std::string> changed;
    for (;;) {
      pollfd waits[] = {{interrupts.fd().number(), POLLIN, 0}, {files.fd().number(), POLLIN, 0}, {options_.status, 0, 0}};
      const int ready = ::poll(waits, 3, changed.empty() ? -1 : quiet_ms);
      if (ready < 0 && errno != EINTR) return base::errno_error(errno, "poll");
      if ((waits[2].revents & POLLERR) != 0) return 0;
      for (auto wake = interrupts.next(); wake != Wake::none; wake = interrupts.next())
        if (wake == Wake::interrupt || wake == Wake::terminate) return 130;
      ASSIGN_OR_RETURN(auto more, files.take());
      changed.merge(more);
      if (ready == 0 && !changed.empty()) handle(std::exchange(changed, {}));
    }
  }

 private:
  void initial_sync(const FileWatch& files) {
    std::vector<Rule> wanted;
    for (const auto& rule : rules_)
      if (rule.wanted.initial_sync && rule.has("sync")) wanted.push_back(rule);
    if (wanted.empty()) return;
    for (const auto& [service, work] : work_for(wanted, files.files()))
      if (auto done = copy(service, work); !done) complain(done.error());
  }

  void tell(char what) {
    if (options_.status >= 0) (void)base::sys::write_all(base::Fd(options_.status), std::string(1, what)).has_value();
  }

  void handle(const std::set<std::string>& changed) {
    tell('b');
    for (const auto& [service, work] : work_for(rules_, changed)) {
      auto done = work.rebuild ? rebuild(service) : refresh(service, work);
      if (!done && !was_shown(done.error())) complain(done.error());
    }
    tell('i');
  }

  Result<> refresh(const std::string& service, const Work& work) {
    TRY(copy(service, work));
    if (work.restart) TRY(restart(service));
    for (const auto* command : work.commands) TRY(execute(service, *command));
    return {};
  }

  Result<std::vector<std::string>> containers(const std::string& service) const {
    ASSIGN_OR_RETURN(const auto v, view({}));
    std::vector<std::string> ids;
    if (const auto found = v.observed.by_service.find(service); found != v.observed.by_service.end())
      for (const std::size_t at : found->second) ids.push_back(v.observed.containers[at].info->id);
    return ids;
  }

  Result<> copy(const std::string& service, const Work& work) {
    if (work.files.empty()) return {};
    out("Syncing service \"" + service + "\" after " + std::to_string(work.files.size()) + " changes were detected\n");
    if (globals().dry_run) return {};
    ASSIGN_OR_RETURN(const auto ids, containers(service));
    std::vector<Job> jobs;
    std::string failure;
    for (const auto& id : ids) {
      for (auto file = work.files.begin(); file != work.files.end();) {
        Job job;
        job.arguments = {"container-sync", "--", id};
        for (std::size_t count = 0; count < files_max && file != work.files.end(); ++count, ++file) job.arguments.insert(job.arguments.end(), {file->second, file->first});
        job.on_end = [&failure](int code, const std::string& errors) {
          if (code != 0) failure = errors;
        };
        jobs.push_back(std::move(job));
      }
    }
    TRY(run_workers(std::move(jobs), {.parallel = globals().parallel, .on_tick = {}, .keep_going = true}));
    if (!failure.empty()) return make_error(ErrorKind::io, failure);
    return {};
  }

  Result<> restart(const std::string& service) {
    if (!globals().dry_run) {
      ASSIGN_OR_RETURN(const auto v, view({}));
      reconcile::Options options;
      options.verb = reconcile::Verb::restart;
      options.services = {service};
      options.no_deps = true;
      ASSIGN_OR_RETURN(const auto decision, reconcile::reconcile(v.desired, v.observed, options));
      ASSIGN_OR_RETURN(const int code, carry_out(project_, decision, {.heading = "Restarting", .show = [](const engine::Progress&) { return false; }}));
      if (code != 0) return shown();
    }
    out("service(s) [\"" + service + "\"] restarted\n");
    return {};
  }

  Result<> rebuild(const std::string& service) {
    out("Rebuilding service(s) [\"" + service + "\"] after changes were detected...\n");
    if (!globals().dry_run) {
      Request request;
      request.services = {service};
      request.no_deps = true;
      request.images = {.pull = "", .build = true, .no_build = false, .quiet_pull = true, .quiet_build = options_.quiet};
      request.options.services = {service};
      request.options.recreate = reconcile::Recreate::force;
      request.options.ignore_orphans = true;
      ASSIGN_OR_RETURN(const auto prepared, prepare(std::move(request)));
      ASSIGN_OR_RETURN(const int code, carry_out(project_, prepared.decision, {.heading = "Rebuilding", .show = [](const engine::Progress&) { return false; }}));
      if (code != 0) return shown();
      if (options_.prune) prune();
    }
    out("service(s) [\"" + service + "\"] successfully built\n");
    return {};
  }

  /// Images the project lost the names of. They cost room, no more: a failure is passed over.
  void prune() {
    std::vector<Job> jobs(1);
    jobs.front().arguments = {"prune", "--label", "com.docker.compose.project=" + project_};
    jobs.front().on_end = [](int, const std::string&) {};
    (void)run_workers(std::move(jobs), {.parallel = -1, .on_tick = {}, .keep_going = true}).has_value();
  }

  Result<> execute(const std::string& service, const model::Hook& command) {
    if (globals().dry_run) return {};
    ASSIGN_OR_RETURN(const auto ids, containers(service));
    for (const auto& id : ids) {
      engine::client::ExecOptions options;
      options.command = command.command;
      options.user = command.user;
      options.working_dir = command.working_dir;
      options.privileged = command.privileged;
      for (const auto& [name, value] : command.environment) {
        // A name alone takes its value from our environment, as in `exec --env`.
        const char* ours = value ? value->c_str() : std::getenv(name.c_str());
        if (ours != nullptr) options.env.push_back(name + "=" + ours);
      }
      ASSIGN_OR_RETURN(auto how, engine::client::exec_command(id, options));
      base::SpawnOptions spawn;
      spawn.program = how.program;
      spawn.arguments = how.arguments;
      spawn.fds = {{base::Fd(1), 1}, {base::Fd(2), 2}, {how.process.borrow(), how.process_number}};
      ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(spawn));
      ASSIGN_OR_RETURN(const auto status, child.wait());
      if (status.code != 0) return make_error(ErrorKind::io, "the command in service " + service + " ended with code " + std::to_string(status.code));
    }
    return {};
  }

  std::string project_;
  std::vector<Rule> rules_;
  Options options_;
};

}  // namespace

Result<int> run_watch(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto project, load_project({.services = parsed.arguments}));
  ASSIGN_OR_RETURN(auto rules, rules_of(project, parsed.arguments));
  if (!parsed.on("no-up")) {
    Request request;
    request.services = parsed.arguments;
    request.images = {.pull = "", .build = true, .no_build = false, .quiet_pull = parsed.on("quiet"), .quiet_build = parsed.on("quiet")};
    request.options.services = {parsed.arguments.begin(), parsed.arguments.end()};
    ASSIGN_OR_RETURN(const auto prepared, prepare(std::move(request)));
    ASSIGN_OR_RETURN(const int code, carry_out(prepared.project.name, prepared.decision, {}));
    if (code != 0) return code;
  }
  const char* status = std::getenv(BackgroundWatch::status_variable);
  return Watcher(project.name, std::move(rules),
                 {.quiet = parsed.on("quiet"), .prune = parsed.on("prune", true), .status = status != nullptr ? std::atoi(status) : -1})
      .run();
}

Result<> can_watch(const model::Project& project, const std::vector<std::string>& services) {
  ASSIGN_OR_RETURN(const auto rules, rules_of(project, services));
  (void)rules;
  return {};
}

}  // namespace compose::cli
