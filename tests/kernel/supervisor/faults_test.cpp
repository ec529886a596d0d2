// Every system call of the engine between "make this container" and "its program runs" fails once: the error is reported, nothing of
// the attempt is left, and the next attempt succeeds. The engine's own calls; those of compose-runtime have a sweep of their own.
#define COMPOSE_FAULTS  // as base/sys.cpp is compiled here
#include <dirent.h>
#include <sched.h>
#include <sys/wait.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <thread>

#include "base/fault.h"
#include "engine/supervisor/notes.h"
#include "engine/supervisor/real_backend.h"
#include "tests/kernel/supervisor/stack.h"

using namespace engine;
using engine::supervisor::Backend;

namespace {

std::string shell(const std::string& command) {
  auto ends = base::sys::pipe();
  if (!ends) return "no pipe";
  base::SpawnOptions options{.program = "/bin/sh", .arguments = {"sh", "-c", command}};
  options.fds = {{ends->second.borrow(), 1}};
  auto child = base::ChildProcess::spawn(options);
  if (!child) return child.error().text();
  ends->second.reset();
  std::string out;
  std::array<char, 4096> buffer;
  while (true) {
    const auto count = base::sys::read(ends->first.borrow(), buffer);
    if (!count || *count == 0) break;
    out.append(buffer.data(), *count);
  }
  (void)child->wait().has_value();
  return out;
}

/// Everything a container takes: mounts, links, folders, cgroups, firewall entries, processes.
std::string everything(const std::filesystem::path& folder, const std::string& project) {
  return shell("cat /proc/self/mounts | grep -c " + folder.string() + "; ip -o link | cut -d: -f2 | cut -d@ -f1 | sort; find " +
               (folder / "state/containers").string() + " " + (folder / "state/volumes").string() + " " + (folder / "run/runtime").string() +
               " -mindepth 1 -maxdepth 1 ! -name .cache 2>/dev/null; find /sys/fs/cgroup -path '*" +
               project + "/*' -type d; nft list table inet compose 2>/dev/null | grep elements; pgrep -f 'sleep 86[4]00'");
}

struct Attempt {
  Backend& backend;
  store::Store& store;
  ContainerSpec spec;
  std::optional<store::ContainerRecord> record;

  base::Result<> start() {
    ASSIGN_OR_RETURN(record, backend.make(spec, std::nullopt));
    TRY(store.insert_container(*record));
    supervisor::Streams streams;
    ASSIGN_OR_RETURN(streams.output, base::sys::open("/dev/null", O_RDWR));
    ASSIGN_OR_RETURN(streams.error, base::sys::open("/dev/null", O_RDWR));
    ASSIGN_OR_RETURN(auto started, backend.start(*record, spec, std::move(streams)));
    (void)::kill(started.pid, SIGKILL);
    (void)::waitpid(started.pid, nullptr, 0);
    return {};
  }
  /// As the supervisor does after a failure, and on `rm`.
  base::Result<> undo() {
    if (!record) return {};
    record->run.engine_json = supervisor::notes::removing_volumes;
    TRY(store.update_run(record->id, record->run));
    TRY(backend.release(*record, spec));
    TRY(backend.remove(*record, spec, true));
    TRY(store.remove_container(record->id));
    record.reset();
    return {};
  }
};

std::string sweep(const std::filesystem::path& folder) {
  ::setenv("COMPOSE_STATE_DIR", (folder / "state").c_str(), 1);
  ::setenv("COMPOSE_RUN_DIR", (folder / "run").c_str(), 1);
  const std::string project = "kf" + std::to_string(::getpid());
  (void)shell("ip link set lo up");
  const auto image = stack::busybox_image();
  if (!image) return image.error().text();
  boost::asio::io_context io;
  const auto guard = boost::asio::make_work_guard(io);
  std::jthread loop([&io] { io.run(); });
  auto backend = supervisor::open_backend(io, project);
  auto store = store::Store::open();
  if (!backend || !store) return "no backend";
  Attempt attempt{**backend, *store, {}, {}};
  attempt.spec.name = project + "-a-1";
  attempt.spec.project = project;
  attempt.spec.image = "test:1";
  attempt.spec.image_id = *image;
  attempt.spec.command = {"sleep", "86400"};
  attempt.spec.mounts.push_back({.type = MountType::volume, .target = "/data"});
  attempt.spec.networks.push_back({.network = project + "_net", .aliases = {"a"}});
  attempt.spec.ports.push_back({.host_ip = "127.0.0.1", .host_port = 8080, .container_port = 80});
  const NetworkSpec network{.name = project + "_net", .project = project};
  std::string out;
  if (auto made = (*backend)->create_network(network); !made) out = made.error().text();
  const auto clean = everything(folder, project);
  int failures = 0, in_vain = 0;
  for (long k = 1; out.empty() && k < 2000; ++k) {
    base::fault_reset(k);
    const auto done = attempt.start();
    const bool hit = base::fault_count() >= k;
    base::fault_reset(0);
    const auto what = "call " + std::to_string(k) + (done ? "" : " (" + done.error().text() + ")");
    if (!done) ++failures;
    if (auto undone = attempt.undo(); !undone) out = "undo after " + what + ": " + undone.error().text();
    std::string now;
    if (out.empty() && !support::eventually([&] { return (now = everything(folder, project)) == clean; }, std::chrono::seconds(3)))
      out = "left after " + what + ":\n" + now + "instead of\n" + clean;
    if (out.empty() && !done) {
      if (const auto again = attempt.start(); !again) out = "not again after " + what + ": " + again.error().text();
      if (auto undone = attempt.undo(); !undone) out = "undo after the second start after " + what + ": " + undone.error().text();
    }
    // Past the last call.
    if (!hit && ++in_vain == 2) break;
  }
  if (out.empty()) out = failures > 50 ? "clean" : "only " + std::to_string(failures) + " failures";
  (void)(*backend)->remove_network(network.name).has_value();
  (void)(*backend)->close(true).has_value();
  io.stop();
  loop.join();
  return out;
}

}  // namespace

TEST_CASE("a container start that fails at any system call of the engine leaves nothing and can be repeated", "[faults]") {
  if (::geteuid() != 0) SKIP_TEST("needs root");
  support::TempDir dir;
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, [&] { return sweep(dir.path()); });
  REQUIRE(seen);
  CHECK(*seen == "clean");
}
