// The systemd driver against a manager of the test's own that speaks D-Bus: it makes the scope's folder, moves the process there and
// reports the job, as systemd does. (Real systemd: ./dev vm.)
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/linux/dbus.h"
#include "runtime/linux/text.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;
namespace dbus = runtime::dbus;

namespace {

/// Serves connections one after the other until the listener is shut down. What it was asked is in calls().
class FakeManager {
 public:
  FakeManager(const std::string& socket, std::string folder) : folder_(std::move(folder)), listener_(*base::sys::listen_unix(socket)) {
    thread_ = std::thread([this] { serve(); });
  }
  ~FakeManager() { stop(); }
  void stop() {
    ::shutdown(listener_.number(), SHUT_RDWR);
    if (thread_.joinable()) thread_.join();
  }
  bool fail_jobs = false;
  [[nodiscard]] const std::string& calls() const { return calls_; }

 private:
  void serve() {
    while (true) {
      const base::UniqueFd connection(::accept4(listener_.number(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection.valid()) return;
      talk(connection.borrow());
    }
  }
  void talk(base::Fd connection) {
    std::string buffer;
    const auto fill = [&](std::size_t count) {
      std::array<char, 4096> chunk;
      while (buffer.size() < count) {
        const auto got = base::sys::read(connection, chunk);
        if (!got || *got == 0) return false;
        buffer.append(chunk.data(), *got);
      }
      return true;
    };
    while (buffer.find("\r\n") == std::string::npos)
      if (!fill(buffer.size() + 1)) return;
    buffer.erase(0, buffer.find("\r\n") + 2);
    (void)base::sys::write_all(connection, "OK 0123456789abcdef0123456789abcdef\r\n").has_value();
    if (!fill(7)) return;
    buffer.erase(0, 7);
    while (fill(16)) {
      const auto size = dbus::message_size(std::string_view(buffer).substr(0, 16));
      if (!size || !fill(*size)) return;
      const auto message = dbus::decode(std::string_view(buffer).substr(0, *size));
      buffer.erase(0, *size);
      if (!message) return;
      answer(connection, *message);
    }
  }
  void answer(base::Fd connection, const dbus::Message& call) {
    dbus::Message reply{.type = dbus::Type::reply, .serial = ++serial_, .reply_serial = call.serial};
    dbus::Writer body;
    const bool job = call.member == "StartTransientUnit" || call.member == "StopUnit";
    if (job) {
      reply.signature = "o";
      body.text("/job/" + std::to_string(serial_));
    }
    reply.body = body.bytes();
    dbus::Reader in(call.body);
    const std::string unit = call.signature.empty() ? "" : in.text();
    calls_ += call.member + (call.interface.ends_with("Manager") && !unit.empty() ? " " + unit : "") + "\n";
    if (call.member == "StartTransientUnit") start(unit, in, call.body);
    (void)base::sys::write_all(connection, dbus::encode(reply)).has_value();
    if (!job) return;
    dbus::Writer done;
    done.number32(1).text("/job/" + std::to_string(serial_)).text(unit).text(fail_jobs ? "failed" : "done");
    (void)base::sys::write_all(connection, dbus::encode({.type = dbus::Type::signal, .serial = ++serial_, .path = "/org/freedesktop/systemd1",
                                                          .interface = "org.freedesktop.systemd1.Manager", .member = "JobRemoved",
                                                          .signature = "uoss", .body = done.bytes()})).has_value();
  }
  /// Reads the properties as systemd does, and makes the cgroup.
  void start(const std::string& unit, dbus::Reader& in, const std::string&) {
    (void)in.text();
    const std::size_t length = in.number32();
    in.align(8);
    const std::size_t end = in.at() + length;
    std::string pid, slice;
    while (in.ok() && in.at() < end) {
      in.align(8);
      const std::string name = in.text(), type = in.signature();
      std::string value;
      if (type == "s") value = in.text();
      else if (type == "t" || type == "x") value = std::to_string(in.number64());
      else if (type == "au") (void)in.number32(), value = std::to_string(in.number32());
      else value = std::to_string(in.number32());
      calls_ += "  " + name + "=" + (name == "PIDs" ? "PID" : name == "Description" ? "…" : value) + "\n";
      if (name == "PIDs") pid = value;
      if (name == "Slice") slice = value;
    }
    if (fail_jobs) return;
    ::mkdir((folder_ + "/" + slice).c_str(), 0755);
    const std::string scope = folder_ + "/" + slice + "/" + unit;
    ::mkdir(scope.c_str(), 0755);
    (void)base::sys::write_file(scope + "/cgroup.procs", pid).has_value();
  }
  std::string folder_, calls_;
  base::UniqueFd listener_;
  std::thread thread_;
  std::uint32_t serial_ = 0;
};

/// The hierarchy systemd counts as its own here; none where a real systemd could be disturbed or nothing is mounted.
std::string own_hierarchy() {
  const auto host = runtime::cgroup_host();
  if (!host || std::filesystem::exists("/run/systemd/private")) return {};
  if (const auto* unified = host->unified()) return unified->mount_point;
  const auto* named = host->with("name=systemd");
  return named ? named->mount_point : "";
}

}  // namespace

TEST_CASE("systemd makes the scope, the runtime the rest, and delete stops it", "[ns]") {
  NEED_CONTAINERS();
  const std::string hierarchy = own_hierarchy();
  if (hierarchy.empty()) SKIP_TEST("no hierarchy to play systemd in");
  Bundle bundle;
  const std::string slice = "rt" + bundle.id() + ".slice", path = "/" + slice + "/test-" + bundle.id() + ".scope";
  bundle.config.linux_.cgroups_path = slice + ":test:" + bundle.id();
  bundle.config.linux_.resources->pids_limit = 55;
  bundle.config.linux_.resources->cpu = runtime::spec::Cpu{.period = 100000, .quota = 25000};
  bundle.config.annotations["org.systemd.property.TimeoutStopUSec"] = "uint64 123";
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.type == "cgroup"; });
  const std::string socket = bundle.folder() / "bus";
  FakeManager manager(socket, hierarchy);
  ::setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + socket + ",guid=1").c_str(), 1);
  bundle.probe({"hold"});
  bundle.write_config();
  const auto started = bundle.runtime({"--systemd-cgroup", "run", "--detach", "--bundle", bundle.folder(), bundle.id()});
  INFO(started.err);
  CHECK(started.code == 0);
  const auto seen = bundle.exec({}, {"/bin/probe", "report"});
  for (const auto& line : seen.all("cgroup")) CHECK(line.ends_with(path));
  bool limited = false;
  const auto host = runtime::cgroup_host();
  for (const auto& each : host->hierarchies)
    if (const auto text = base::sys::read_file(each.mount_point + path + "/pids.max")) limited = *text == "55\n";
  CHECK(limited);
  CHECK(bundle.runtime({"update", "--pids-limit", "66", bundle.id()}).code == 0);
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  ::unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  manager.stop();
  const std::string unit = "test-" + bundle.id() + ".scope";
  const std::string start_text = "Hello\nAddMatch\nSubscribe\nStartTransientUnit " + unit + "\n  Description=…\n  Slice=" + slice +
                                 "\n  Delegate=1\n  PIDs=PID\n  MemoryAccounting=1\n  CPUAccounting=1\n  TasksAccounting=1\n"
                                 "  IOAccounting=1\n  DefaultDependencies=0\n  CPUQuotaPerSecUSec=250000\n  TasksMax=55\n  TimeoutStopUSec=123\n";
  CHECK(manager.calls().starts_with(start_text));
  CHECK(manager.calls().find("Hello\nSetUnitProperties " + unit + "\n") != std::string::npos);
  CHECK(manager.calls().ends_with("StopUnit " + unit + "\nResetFailedUnit " + unit + "\n"));
  for (const auto& each : host->hierarchies) {
    CHECK_FALSE(std::filesystem::exists(each.mount_point + path));
    (void)::rmdir((each.mount_point + "/" + slice).c_str());
  }
}

TEST_CASE("a scope that systemd refuses, or no systemd at all, is an error that leaves nothing", "[ns]") {
  NEED_CONTAINERS();
  const std::string hierarchy = own_hierarchy();
  if (hierarchy.empty()) SKIP_TEST("no hierarchy to play systemd in");
  Bundle bundle;
  const auto run = [&] {
    bundle.write_config();
    return bundle.runtime({"--systemd-cgroup", "run", "--bundle", bundle.folder(), bundle.id()});
  };
  CHECK(run().err.find("is not SLICE:PREFIX:NAME") != std::string::npos);
  bundle.config.linux_.cgroups_path = "rt.slice:test:" + bundle.id();
  std::erase_if(bundle.config.mounts, [](const auto& mount) { return mount.type == "cgroup"; });
  CHECK(run().err.find("systemd can't be reached") != std::string::npos);
  const std::string socket = bundle.folder() / "bus";
  FakeManager manager(socket, hierarchy);
  manager.fail_jobs = true;
  ::setenv("DBUS_SYSTEM_BUS_ADDRESS", ("unix:path=" + socket).c_str(), 1);
  const auto seen = run();
  ::unsetenv("DBUS_SYSTEM_BUS_ADDRESS");
  CHECK(seen.code == 1);
  CHECK(seen.err.find("systemd: starting test-" + bundle.id() + ".scope: failed") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}
