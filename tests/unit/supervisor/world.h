#pragma once
// A project with a backend of plain processes: no root, no namespaces, but real exits, signals, FIFOs, logs and a real store.
#include <signal.h>
#include <stdlib.h>

#include <atomic>
#include <mutex>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/store/info.h"
#include "engine/supervisor/project.h"
#include "tests/support/support.h"

namespace engine::supervisor {

class FakeBackend final : public Backend {
 public:
  Result<store::ContainerRecord> make(const ContainerSpec& spec, const std::optional<store::ContainerRecord>& old) override {
    note("make " + spec.name);
    store::ContainerRecord record;
    const int number = ++count_;
    record.id = std::string(60, 'a') + std::to_string(1000 + number);
    record.project = spec.project;
    record.name = spec.name;
    record.spec_json = to_json(spec);
    record.volumes_json = old ? old->volumes_json : R"({"/data":"anon)" + std::to_string(number) + "\"}";
    record.log_path = paths::container_log(record.id).string();
    record.created = store::now_ns();
    return record;
  }
  Result<Traits> traits(const ContainerSpec& spec) override {
    Traits traits;
    traits.command = spec.command.value_or(std::vector<std::string>{});
    if (spec.healthcheck) {
      healthcheck::Spec health;
      health.command = spec.healthcheck->test;
      health.interval = spec.healthcheck->interval.value_or(std::chrono::seconds(30));
      health.retries = spec.healthcheck->retries.value_or(3);
      traits.health = health;
    }
    return traits;
  }
  Result<Started> start(const store::ContainerRecord& record, const ContainerSpec& spec, Streams streams) override {
    note("start " + record.name);
    if (fail_start.contains(record.name)) return base::make_error(base::ErrorKind::not_found, "exec: \"nope\": executable file not found in $PATH");
    base::SpawnOptions options;
    options.program = "/bin/sh";
    options.arguments = {"sh", "-c", spec.command ? spec.command->back() : "exit 0"};
    options.fds = {{streams.output.borrow(), 1}, {streams.error.borrow(), 2}};
    if (streams.input.valid()) options.fds.emplace_back(streams.input.borrow(), 0);
    ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
    Started started;
    started.pid = child.pid();
    started.pidfd = child.detach();
    started.endpoints = {{.network = "net", .ipv4_address = "10.0.0.2/24"}};
    const std::lock_guard guard(mutex_);
    alive[record.id] = started.pid;
    return started;
  }
  Result<> adopt(const store::ContainerRecord& record, const ContainerSpec&) override {
    note("adopt " + record.name);
    return {};
  }
  Result<std::optional<pid_t>> find(const std::string& id) override {
    const std::lock_guard guard(mutex_);
    return alive.contains(id) ? std::optional(alive[id]) : std::nullopt;
  }
  void cut_links(const std::vector<std::pair<store::ContainerRecord, ContainerSpec>>&) override {}
  Result<> release(const store::ContainerRecord& record, const ContainerSpec&) override {
    note("release " + record.name);
    const std::lock_guard guard(mutex_);
    alive.erase(record.id);
    return {};
  }
  Result<> remove(const store::ContainerRecord& record, const ContainerSpec&, bool volumes) override {
    note("remove " + record.name + (volumes ? " volumes" : ""));
    if (fail_remove) return base::make_error(base::ErrorKind::io, "device is busy");
    return base::sys::remove_tree(paths::container_run(record.project, record.id));
  }
  bool oom_killed(const store::ContainerRecord&, const ContainerSpec&) override { return oom; }
  Result<> freeze(const store::ContainerRecord& record, const ContainerSpec&, bool frozen) override {
    return base::sys::wrap("kill", ::kill(record.run.pid, frozen ? SIGSTOP : SIGCONT)).has_value()
               ? Result<>()
               : Result<>(base::make_error(base::ErrorKind::io, "kill"));
  }
  Result<Exec> exec(const store::ContainerRecord& record, const ContainerSpec&, const ExecRequest& request) override {
    note("exec " + record.name + " " + request.command.back());
    ASSIGN_OR_RETURN(auto pipe, base::sys::pipe(O_NONBLOCK));
    base::SpawnOptions options;
    options.program = "/bin/sh";
    options.arguments = {"sh", "-c", request.command.back()};
    options.fds = {{pipe.second.borrow(), 1}, {pipe.second.borrow(), 2}};
    ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
    return Exec{std::move(child), std::move(pipe.first)};
  }
  Result<std::vector<Endpoint>> connect(const store::ContainerRecord&, const ContainerSpec&, const NetworkAttachment& a) override {
    return std::vector<Endpoint>{{.network = a.network}};
  }
  Result<std::vector<Endpoint>> disconnect(const store::ContainerRecord&, const ContainerSpec&, const std::string&) override {
    return std::vector<Endpoint>{};
  }
  Result<> create_network(const NetworkSpec& spec) override { return object("create network " + spec.name); }
  Result<> remove_network(const std::string& name) override { return object("remove network " + name); }
  Result<> create_volume(const VolumeSpec& spec) override { return object("create volume " + spec.name); }
  Result<> remove_volume(const std::string& name) override { return object("remove volume " + name); }
  Result<> remove_image(const std::string& name) override { return object("remove image " + name); }
  void rest() override { note("rest"); }
  Result<> close(bool) override { return {}; }

  std::vector<std::string> calls() {
    const std::lock_guard guard(mutex_);
    return calls_;
  }
  std::set<std::string> fail_start, fail_object;
  std::atomic<bool> oom = false, fail_remove = false;
  std::map<std::string, pid_t> alive;

 private:
  void note(std::string what) {
    const std::lock_guard guard(mutex_);
    calls_.push_back(std::move(what));
  }
  Result<> object(const std::string& what) {
    note(what);
    if (fail_object.contains(what)) return base::make_error(base::ErrorKind::io, what + " failed");
    return {};
  }
  std::mutex mutex_;
  std::vector<std::string> calls_;
  std::atomic<int> count_ = 0;
};

struct World {
  support::TempDir dir;
  FakeBackend backend;
  asio::io_context io;
  asio::thread_pool workers{2};
  std::unique_ptr<Project> project;
  std::vector<std::string> said;

  enum class Begin : bool { later, yes };
  explicit World(Begin at_once = Begin::yes) {
    ::setenv("COMPOSE_STATE_DIR", (dir.path() / "state").c_str(), 1);
    ::setenv("COMPOSE_RUN_DIR", (dir.path() / "run").c_str(), 1);
    REQUIRE(base::sys::make_directories(paths::project_run("demo")));
    if (at_once == Begin::yes) begin();
  }
  ~World() {
    for (auto& container : all())
      if (container.pid > 0 && container.state != ContainerState::exited) ::kill(container.pid, SIGKILL);
    workers.join();
    io.stop();
    // Coroutines that still wait are destroyed with `io`, and look at the project then. A supervisor never gets there: it ends by _exit().
    static auto& kept = *new std::vector<std::unique_ptr<Project>>;
    kept.push_back(std::move(project));
  }
  /// A row as a killed supervisor would have left it.
  void left(const ContainerSpec& spec, const std::function<void(store::RunState&)>& change) {
    auto record = backend.make(spec, std::nullopt);
    REQUIRE(record);
    record->run.boot_id = store::boot_id();
    change(record->run);
    auto store = store::Store::open();
    REQUIRE(store);
    REQUIRE(store->insert_container(*record));
    REQUIRE(base::sys::make_directories(paths::container_run("demo", record->id)));
  }
  /// A supervisor that takes over what there is.
  void begin() {
    auto store = store::Store::open();
    REQUIRE(store);
    project = std::make_unique<Project>(io, workers, "demo", backend, *std::move(store), KeeperLink());
    REQUIRE(project->adopt());
  }
  template <class Condition>
  bool until(Condition holds, std::chrono::milliseconds limit = std::chrono::seconds(10)) {
    const auto deadline = Clock::now() + limit;
    while (!holds()) {
      if (Clock::now() > deadline) return false;
      io.restart();
      io.run_for(std::chrono::milliseconds(5));
    }
    return true;
  }
  Outcome run(Plan plan, std::shared_ptr<Cancel> cancel = std::make_shared<Cancel>()) {
    std::optional<Outcome> outcome;
    begin_run(std::move(plan), outcome, cancel);
    REQUIRE(until([&] { return outcome.has_value(); }));
    return *outcome;
  }
  void begin_run(Plan plan, std::optional<Outcome>& outcome, std::shared_ptr<Cancel> cancel) {
    spawn(io, [](World& self, Plan steps, std::optional<Outcome>& into, std::shared_ptr<Cancel> stop) -> Task<> {
      auto done = co_await self.project->execute(std::move(steps), [&self](const Progress& p) { self.said.push_back(p.name + " " + p.status); }, stop);
      into = std::move(done);
    }(*this, std::move(plan), outcome, cancel));
  }
  Outcome run(std::vector<Action> actions) {
    Plan plan;
    for (auto& action : actions) {
      Step step{.action = std::move(action)};
      if (!plan.steps.empty()) step.after = {plan.steps.size() - 1};
      plan.steps.push_back(std::move(step));
    }
    return run(std::move(plan));
  }
  std::vector<ContainerInfo> all() {
    auto store = store::Store::open();
    std::vector<ContainerInfo> out;
    if (!store) return out;
    auto rows = store->containers("demo");
    if (rows)
      for (const auto& row : *rows)
        if (auto info = store::to_info(row)) out.push_back(*info);
    return out;
  }
  ContainerInfo info(const std::string& name) {
    for (auto& entry : all())
      if (entry.spec.name == name) return entry;
    return {};
  }
  std::string log(const std::string& name) {
    const auto text = base::sys::read_file(info(name).log_path);
    return text ? *text : text.error().text();
  }
  static ContainerSpec shell(std::string name, std::string script) {
    ContainerSpec spec;
    spec.name = std::move(name);
    spec.project = "demo";
    spec.command = {std::move(script)};
    spec.stop_grace = std::chrono::seconds(5);
    return spec;
  }
};

}  // namespace engine::supervisor
