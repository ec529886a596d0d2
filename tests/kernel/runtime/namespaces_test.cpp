// Namespaces: new, joined, mapped; sysctls and cgroups that belong to them.
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;
using runtime_test::refusal;

namespace {

/// A container whose root is an unprivileged user of the host.
void map_users(Bundle& bundle) {
  auto& config = bundle.config.linux_;
  config.namespaces.push_back({.type = "user", .path = ""});
  config.uid_mappings = config.gid_mappings = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(bundle.root(), ignored))
    (void)!::lchown(entry.path().c_str(), 100000, 100000);
  (void)!::lchown(bundle.root().c_str(), 100000, 100000);
}

/// Runs ip(8) commands; true when all succeeded.
bool make_links(const std::string& commands) {
  base::SpawnOptions options;
  options.program = "/bin/sh";
  options.arguments = {"sh", "-ec", commands};
  options.environment = {{"PATH=/usr/sbin:/sbin:/usr/bin:/bin"}};
  options.fds = {{base::Fd(2), 2}};
  auto child = base::ChildProcess::spawn(options);
  if (!child) return false;
  const auto status = child->wait(std::chrono::seconds(10));
  return status && status->code == 0;
}

}  // namespace

TEST_CASE("a new network namespace has its loopback up, and sysctls of it can be set", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  bundle.config.linux_.sysctl = {{"net.ipv4.ip_unprivileged_port_start", "0"}, {"net/ipv4/conf/lo/forwarding", "1"},
                                 {"kernel.msgmax", "12345"}};
  bundle.probe({"do", "read", "/proc/sys/net/ipv4/ip_unprivileged_port_start", ",", "read", "/proc/sys/net/ipv4/conf/lo/forwarding", ",",
                "read", "/proc/sys/kernel/msgmax", ",", "read", "/sys/class/net/lo/flags"});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "0\n1\n12345\n0x9\n");
}

TEST_CASE("a sysctl that would change the host is refused by name", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.sysctl = {{"net.ipv4.ip_forward", "1"}};
  CHECK(bundle.run().err.find("'net.ipv4.ip_forward' would change the host: the container has no network namespace of its own") !=
        std::string::npos);
  bundle.config.linux_.sysctl = {{"vm.swappiness", "1"}};
  CHECK(bundle.run().err.find("'vm.swappiness' is not in a separate kernel namespace") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("namespaces of another container are joined by path or by descriptor", "[ns]") {
  NEED_CONTAINERS();
  Bundle first;
  first.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  first.config.hostname = "first";
  first.probe({"hold"});
  REQUIRE(first.start({"--pid-file", first.folder() / "pid"}).code == 0);
  const std::string pid = *base::sys::read_file(first.folder() / "pid");
  const auto ns = [&](const std::string& name) { return "/proc/" + pid + "/ns/" + name; };
  const auto net = base::sys::open(ns("net"), O_RDONLY);
  REQUIRE(net);
  const auto expected = [&](const std::string& name) { return std::filesystem::read_symlink(ns(name)).string(); };

  Bundle second;
  second.config.linux_.namespaces = {{"mount", ""}, {"pid", ns("pid")}, {"ipc", ns("ipc")}, {"uts", ns("uts")}, {"network", "/proc/self/fd/9"}};
  second.config.linux_.sysctl.clear();
  second.write_config();
  const auto seen = second.runtime({"run", "--bundle", second.folder(), second.id()}, {{net->borrow(), 9}});
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("hostname") == "first");
  CHECK(seen.one("ns_net") == expected("net"));
  CHECK(seen.one("ns_ipc") == expected("ipc"));
  CHECK(seen.one("ns_pid") == expected("pid"));
  CHECK(seen.one("ns_mnt") != expected("mnt"));
  CHECK(seen.one("pid") != "1");
  CHECK(second.leftovers() == "");
}

TEST_CASE("a time namespace starts with the configured offset", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.namespaces.push_back({.type = "time", .path = ""});
  bundle.config.linux_.time_offsets["boottime"] = {.secs = 1000000, .nanosecs = 0};
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(std::atol(seen.one("boottime").c_str()) > 1000000);
  CHECK(seen.one("ns_time") != std::filesystem::read_symlink("/proc/self/ns/time").string());
}

TEST_CASE("in a user namespace root is somebody else, with every default in place", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  map_users(bundle);
  bundle.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  const auto seen = bundle.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("uid") == "0");
  CHECK(seen.one("CapEff") == "00000000a80425fb");
  CHECK(seen.one("ns_user") != std::filesystem::read_symlink("/proc/self/ns/user").string());
  CHECK(bundle.probe({"do", "file", "/dev/null", "/bin/probe", ",", "write", "/dev/null", "x", ",", "read", "/proc/self/uid_map"}).run().out ==
        "/dev/null char 0666 0:0 1,3\n/bin/probe file 0755 0:0\nwrite /dev/null ok\n         0     100000      65536\n");
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("exec enters a user namespace too", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  map_users(bundle);
  bundle.probe({"hold"});
  const auto started = bundle.start();
  INFO(started.err);
  REQUIRE(started.code == 0);
  const auto seen = bundle.exec({"--user", "5:6"}, {"/bin/probe", "report"});
  INFO(seen.err);
  CHECK(seen.one("uid") == "5");
  CHECK(seen.one("gid") == "6");
}

TEST_CASE("contradictions between namespaces and the rest are errors", "[ns]") {
  NEED_CONTAINERS();
  CHECK(refusal([](auto& config) {
          std::erase_if(config.linux_.namespaces, [](const auto& space) { return space.type == "mount"; });
          config.linux_.rootfs_propagation = "shared";
        }).find("without a mount namespace") != std::string::npos);
  CHECK(refusal([](auto& config) { config.linux_.sysctl["kernel.hostname"] = "x"; }).find("kernel.hostname") != std::string::npos);
  CHECK(refusal([](auto& config) {
          config.domainname = "x";
          config.linux_.sysctl["kernel.domainname"] = "y";
        }).find("contradicts the property domainname") != std::string::npos);
  CHECK(refusal([](auto& config) {
          config.hostname = "x";
          std::erase_if(config.linux_.namespaces, [](const auto& space) { return space.type == "uts"; });
        }).find("hostname: needs a uts namespace") != std::string::npos);
  CHECK(refusal([](auto& config) { config.linux_.namespaces.push_back({.type = "user", .path = ""}); }).find("uidMappings") != std::string::npos);
  CHECK(refusal([](auto& config) { config.linux_.namespaces.push_back({.type = "network", .path = "/no/such/ns"}); }).find("/no/such/ns") !=
        std::string::npos);
  CHECK(refusal([](auto& config) { config.linux_.intel_rdt.emplace(); }).find("linux.intelRdt") != std::string::npos);
}

TEST_CASE("limits are written to the container's cgroups and updated there", "[ns]") {
  NEED_CONTAINERS();
  const auto host = runtime::cgroup_host();
  if (!host || !host->with("memory") || !host->with("cpu") || !host->with("pids")) SKIP_TEST("no memory, cpu and pids cgroups here");
  const bool v2 = host->with("memory")->unified;
  Bundle bundle;
  auto& resources = *bundle.config.linux_.resources;
  resources.memory = runtime::spec::Memory{.limit = 64 << 20, .reservation = 32 << 20, .swap = 128 << 20};
  resources.cpu = runtime::spec::Cpu{.shares = 512, .period = 100000, .quota = 50000};
  resources.pids_limit = 33;
  bundle.probe({"hold"});
  const auto started = bundle.start();
  INFO(started.err);
  REQUIRE(started.code == 0);
  const auto value = [&](const char* controller, const char* file) {
    auto text = base::sys::read_file(host->with(controller)->mount_point + bundle.config.linux_.cgroups_path + "/" + file);
    return text ? text->substr(0, text->find('\n')) : text.error().text();
  };
  const auto memory_max = [&] { return value("memory", v2 ? "memory.max" : "memory.limit_in_bytes"); };
  const auto swap_max = [&] { return value("memory", v2 ? "memory.swap.max" : "memory.memsw.limit_in_bytes"); };
  CHECK(memory_max() == "67108864");
  CHECK(swap_max() == (v2 ? "67108864" : "134217728"));  // v2 counts swap alone
  CHECK(value("memory", v2 ? "memory.low" : "memory.soft_limit_in_bytes") == "33554432");
  CHECK(value("cpu", v2 ? "cpu.weight" : "cpu.shares") == (v2 ? "20" : "512"));
  CHECK(value("cpu", v2 ? "cpu.max" : "cpu.cfs_quota_us") == (v2 ? "50000 100000" : "50000"));
  CHECK(value("pids", "pids.max") == "33");
  REQUIRE(bundle.runtime({"update", "--memory", "256m", "--memory-swap", "512m", "--pids-limit", "44", bundle.id()}).code == 0);
  CHECK(memory_max() == "268435456");
  if (v2) CHECK(swap_max() == "268435456");
  CHECK(value("pids", "pids.max") == "44");
  REQUIRE(bundle.runtime({"update", "--memory", "64m", "--memory-swap", "64m", bundle.id()}).code == 0);
  CHECK(swap_max() == (v2 ? "0" : "67108864"));
  if (!v2) {
    REQUIRE(bundle.runtime({"update", "--memory", "-1", bundle.id()}).code == 0);
    CHECK(std::strtoull(memory_max().c_str(), nullptr, 10) > 1ULL << 60);
    CHECK(std::strtoull(swap_max().c_str(), nullptr, 10) > 1ULL << 60);
  }
  const auto wrong = bundle.runtime({"update", "--memory", "lots", bundle.id()});
  CHECK(wrong.code == 1);
  CHECK(wrong.err.find("--memory: 'lots' is not a size") != std::string::npos);
  CHECK(bundle.runtime({"ps", "--format", "json", bundle.id()}).out.starts_with("["));
  CHECK(bundle.runtime({"list", "-q"}).out == bundle.id() + "\n");
}

TEST_CASE("a shorter period and its time are taken together where the group above gives no more", "[ns]") {
  NEED_CONTAINERS();
  const auto host = runtime::cgroup_host();
  if (!host || !host->with("cpu") || host->with("cpu")->unified) SKIP_TEST("no v1 cpu controller here");
  Bundle bundle;
  const std::string parent = "/rt-test-" + bundle.id(), made = host->with("cpu")->mount_point + parent;
  REQUIRE(::mkdir(made.c_str(), 0755) == 0);
  REQUIRE(base::sys::write_file(made + "/cpu.cfs_period_us", "50000"));
  REQUIRE(base::sys::write_file(made + "/cpu.cfs_quota_us", "20000"));
  bundle.config.linux_.cgroups_path = parent + "/" + bundle.id();
  bundle.config.linux_.resources->cpu = runtime::spec::Cpu{.period = 40000, .quota = 16000};
  bundle.probe({"hold"});
  const auto started = bundle.start({"--pid-file", bundle.folder() / "pid"});
  INFO(started.err);
  REQUIRE(started.code == 0);
  CHECK(bundle.runtime({"update", "--cpu-quota", "60000", bundle.id()}).code == 1);
  CHECK(bundle.runtime({"update", "--cpu-period", "10000", "--cpu-quota", "3000", bundle.id()}).code == 0);
  CHECK(*base::sys::read_file(made + "/" + bundle.id() + "/cpu.cfs_period_us") == "10000\n");
  CHECK(bundle.runtime({"update", "--cpu-period", "100000", "--cpu-quota", "30000", bundle.id()}).code == 0);
  CHECK(bundle.runtime({"delete", "--force", bundle.id()}).code == 0);
  for (const auto& hierarchy : host->hierarchies) (void)::rmdir((hierarchy.mount_point + parent).c_str());
}

TEST_CASE("a cgroup that has just lost a child takes device rules", "[ns]") {
  NEED_CONTAINERS();
  const auto host = runtime::cgroup_host();
  if (!host || !host->with("devices") || host->with("devices")->unified) SKIP_TEST("no v1 devices controller here");
  Bundle bundle;
  const std::filesystem::path folder = host->with("devices")->mount_point + bundle.config.linux_.cgroups_path;
  std::filesystem::create_directories(folder);
  // Some 30 ms of children that come and go: the rules are written in the midst of it.
  std::thread children([&] {
    for (int round = 0; round < 300; ++round) {
      (void)::mkdir((folder / "child").c_str(), 0755);
      (void)::rmdir((folder / "child").c_str());
    }
  });
  bundle.probe({"print", "ran"});
  const auto seen = bundle.run();
  children.join();
  INFO(seen.err);
  CHECK(seen.out == "ran\n");
}

TEST_CASE("a container starts below a cpuset that somebody made and left empty", "[ns]") {
  NEED_CONTAINERS();
  const auto host = runtime::cgroup_host();
  if (!host || !host->with("cpuset") || host->with("cpuset")->unified) SKIP_TEST("no v1 cpuset here");
  Bundle bundle;
  const std::string parent = "/rt-test-" + bundle.id(), made = host->with("cpuset")->mount_point + parent;
  REQUIRE(::mkdir(made.c_str(), 0755) == 0);
  bundle.config.linux_.cgroups_path = parent + "/" + bundle.id();
  const auto seen = bundle.probe({"exit", "0"}).run();
  INFO(seen.err);
  CHECK(seen.code == 0);
  CHECK(bundle.leftovers() == "");
  for (const auto& hierarchy : host->hierarchies) (void)::rmdir((hierarchy.mount_point + parent).c_str());
}

TEST_CASE("a limit the kernel refuses is an error that names the file, and nothing stays", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.resources->cpu = runtime::spec::Cpu{.cpus = "900-901", .mems = {}};
  const auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("cpuset.cpus") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a container in another's pid and user namespaces is known by the host's pid", "[ns]") {
  NEED_CONTAINERS();
  Bundle first;
  map_users(first);
  first.probe({"hold"});
  REQUIRE(first.start({"--pid-file", first.folder() / "pid"}).code == 0);
  const std::string spaces = "/proc/" + *base::sys::read_file(first.folder() / "pid") + "/ns/";
  Bundle second;
  map_users(second);
  second.config.linux_.uid_mappings.clear();
  second.config.linux_.gid_mappings.clear();
  for (auto& space : second.config.linux_.namespaces)
    if (space.type != "mount") space.path = spaces + (space.type == "network" ? "net" : space.type);
  second.probe({"hold"});
  const auto started = second.start({"--pid-file", second.folder() / "pid"});
  INFO(started.err);
  REQUIRE(started.code == 0);
  const std::string status = *base::sys::read_file("/proc/" + *base::sys::read_file(second.folder() / "pid") + "/status");
  CHECK(status.find("Name:\tprobe") != std::string::npos);
  CHECK(status.find("NSpid:\t" + *base::sys::read_file(second.folder() / "pid") + "\t") != std::string::npos);
  CHECK(second.exec({}, {"/bin/probe", "report"}).code == 0);
  CHECK(second.runtime({"delete", "--force", second.id()}).code == 0);
  CHECK(second.leftovers() == "");
}

TEST_CASE("a user namespace is joined by path, and new namespaces belong to it", "[ns]") {
  NEED_CONTAINERS();
  Bundle first;
  map_users(first);
  first.probe({"hold"});
  REQUIRE(first.start({"--pid-file", first.folder() / "pid"}).code == 0);
  const std::string pid = *base::sys::read_file(first.folder() / "pid");
  const std::string path = "/proc/" + pid + "/ns/user";

  Bundle second;
  map_users(second);
  second.config.linux_.namespaces.back().path = path;
  second.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  const auto seen = second.run();
  INFO(seen.err);
  REQUIRE(seen.code == 0);
  CHECK(seen.one("ns_user") == std::filesystem::read_symlink(path).string());
  CHECK(seen.one("pid") == "1");
  CHECK(seen.one("uid") == "0");
  // Joined for real: without privilege over the new namespaces their hostname and mounts could not be set.
  CHECK_FALSE(seen.all("mount").empty());
  CHECK(second.leftovers() == "");
}

TEST_CASE("an interface moves into the container, is renamed and keeps its addresses, MTU and hardware address", "[ns]") {
  NEED_CONTAINERS();
  if (::access("/usr/sbin/ip", X_OK) != 0 && ::access("/sbin/ip", X_OK) != 0) SKIP_TEST("ip (iproute2) is not installed");
  Bundle bundle;
  auto& config = bundle.config.linux_;
  config.namespaces.push_back({.type = "network", .path = ""});
  config.net_devices = {{"rtpair0", {.name = "inside0"}}, {"rtpair1", {}}};
  config.sysctl = {{"net.ipv4.conf.inside0.forwarding", "1"}};
  bundle.probe({"do", "read", "/sys/class/net/inside0/mtu", ",", "read", "/sys/class/net/inside0/address", ",", "read",
                "/sys/class/net/inside0/flags", ",", "read", "/proc/net/fib_trie", ",", "read", "/sys/class/net/rtpair1/flags", ",", "read",
                "/proc/sys/net/ipv4/conf/inside0/forwarding"});
  // The interfaces belong to a network namespace of the test's own: the host's is left alone.
  const auto in_own = [&](const std::string& more) {
    return support::in_namespaces(CLONE_NEWNET, [&]() -> std::string {
      const std::string setup = "ip link add rtpair0 type veth peer name rtpair1; "
                                "ip link set rtpair0 mtu 1789 address 02:11:22:33:44:55; ip addr add 10.9.8.7/24 brd 10.9.8.254 dev rtpair0; " + more;
      if (!make_links(setup)) return "no veth pairs";
      const auto outcome = bundle.run();
      return outcome.err + outcome.out;
    });
  };
  auto seen = in_own("ip link set rtpair0 up");
  REQUIRE(seen);
  if (seen->find("no veth pairs") != std::string::npos) SKIP_TEST("this kernel makes no veth pairs");
  CHECK(seen->starts_with("1789\n02:11:22:33:44:55\n0x1003\n"));  // up, broadcast, multicast
  CHECK(seen->find("10.9.8.7") != std::string::npos);
  CHECK(seen->find("10.9.8.254") != std::string::npos);
  CHECK(seen->ends_with("0x1003\n1\n"));
  CHECK(bundle.leftovers() == "");

  config.net_devices = {{"rtpair7", {}}};
  CHECK(in_own("")->find("linux.netDevices: rtpair7: no such interface") != std::string::npos);
  config.net_devices = {{"rtpair0", {.name = "lo"}}};
  CHECK(in_own("")->find("linux.netDevices: rtpair0: moving it as lo: ") != std::string::npos);
  config.net_devices = {{"rtpair0", {.name = "same"}}, {"rtpair1", {.name = "same"}}};
  CHECK(in_own("")->find("two interfaces are to be named 'same'") != std::string::npos);
  config.net_devices = {{"rtpair0", {.name = "eth%d"}}};
  CHECK(in_own("")->find("'eth%d' is not the name of an interface") != std::string::npos);
  config.net_devices = {{"rtpair0", {}}};
  std::erase_if(config.namespaces, [](const auto& space) { return space.type == "network"; });
  config.sysctl.clear();
  CHECK(in_own("")->find("linux.netDevices: needs a network namespace") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("an interface moves into a network namespace that was there before, where it stays", "[ns]") {
  NEED_CONTAINERS();
  Bundle holder;
  holder.config.linux_.namespaces.push_back({.type = "network", .path = ""});
  holder.probe({"hold"});
  REQUIRE(holder.start({"--pid-file", holder.folder() / "pid"}).code == 0);
  Bundle bundle;
  bundle.config.linux_.namespaces.push_back({.type = "network", .path = "/proc/" + *base::sys::read_file(holder.folder() / "pid") + "/ns/net"});
  bundle.config.linux_.net_devices = {{"rtpair0", {.name = "moved0"}}, {"rtpair1", {}}};  // both ends: the one left behind would take it along
  bundle.probe({"do", "read", "/sys/class/net/moved0/flags"});
  const auto seen = support::in_namespaces(CLONE_NEWNET, [&]() -> std::string {
    if (!make_links("ip link add rtpair0 type veth peer name rtpair1")) return "no veth pairs";
    const auto outcome = bundle.run();
    return outcome.err + outcome.out;
  });
  REQUIRE(seen);
  if (seen->find("no veth pairs") != std::string::npos) SKIP_TEST("this kernel makes no veth pairs");
  CHECK(*seen == "0x1003\n");
  CHECK(holder.exec({}, {"/bin/probe", "do", "read", "/sys/class/net/moved0/flags"}).out == "0x1003\n");
}
