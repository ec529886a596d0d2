// What prepare() makes, run by compose-runtime: the two rooms must understand each other.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "tests/kernel/containers/world.h"

using namespace engine;

namespace {

/// Puts busybox into the image.
bool add_shell(World& world) {
  std::error_code failed;
  std::filesystem::copy_file("/bin/busybox", world.dir.path() / "layer1/bin/busybox", failed);
  for (const auto* name : {"sh", "cat", "ls", "id", "stat", "env", "hostname", "grep", "mount", "touch", "sleep"})
    std::filesystem::create_symlink("busybox", world.dir.path() / "layer1/bin" / name, failed);
  return !failed;
}

/// What to hand to the runtime for `prepared`; output goes to `output`.
base::SpawnOptions call(const World& world, const containers::Prepared& prepared, std::vector<std::string> words, base::Fd output) {
  base::SpawnOptions spawn;
  spawn.program = std::string(BIN_DIR) + "/compose-runtime";
  spawn.arguments = {"compose-runtime", "--root", (world.dir.path() / "runtime").string(), "run", "--bundle", prepared.bundle.string(),
                     "--rootfs-fd", std::to_string(prepared.rootfs_number)};
  for (auto& word : words) spawn.arguments.push_back(std::move(word));
  if (prepared.init) spawn.arguments.emplace_back("--init");
  spawn.arguments.push_back(prepared.bundle.filename().string());
  for (const auto& passed : prepared.fds) spawn.fds.emplace_back(passed.fd.borrow(), passed.number);
  spawn.fds.emplace_back(output, 1);
  spawn.fds.emplace_back(output, 2);
  return spawn;
}

/// Runs `script` in a container of `spec`; its output, stderr of the runtime included.
std::string run(World& world, ContainerSpec spec, const std::string& script, containers::StartOptions options = {}) {
  spec.command = std::vector<std::string>{"sh", "-c", script};
  auto prepared = world.prepare(spec, std::move(options));
  if (!prepared) return "prepare: " + prepared.error().text();
  auto output = base::sys::pipe();
  auto child = base::ChildProcess::spawn(call(world, *prepared, {}, output->second.borrow()));
  if (!child) return "spawn: " + child.error().text();
  output->second.reset();
  std::string text;
  std::array<char, 4096> buffer;
  while (true) {
    const auto count = base::sys::read(output->first.borrow(), buffer);
    if (!count || *count == 0) break;
    text.append(buffer.data(), *count);
  }
  const auto status = child->wait(std::chrono::seconds(10));
  if (!status) return text + "wait: " + status.error().text();
  if (status->code != 0) text += "exit " + std::to_string(status->code) + "\n";
  return text;
}

/// A container that runs in the background until it is destroyed.
class Background {
 public:
  Background(World& world, ContainerSpec spec, const std::string& script) : world_(world) {
    spec.command = std::vector<std::string>{"sh", "-c", script};
    auto prepared = world.prepare(spec);
    const auto pid_file = world.dir.path() / "pid";
    auto null = base::sys::open("/dev/null", O_WRONLY);
    if (!prepared || !null) return;
    auto child = base::ChildProcess::spawn(call(world, *prepared, {"--detach", "--pid-file", pid_file.string()}, null->borrow()));
    if (!child || !child->wait(std::chrono::seconds(10))) return;
    if (const auto text = base::sys::read_file(pid_file)) pid = std::atoi(text->c_str());
  }
  Background(const Background&) = delete;
  ~Background() {
    base::SpawnOptions spawn;
    spawn.program = std::string(BIN_DIR) + "/compose-runtime";
    spawn.arguments = {"compose-runtime", "--root", (world_.dir.path() / "runtime").string(), "delete", "-f", world_.id};
    if (auto child = base::ChildProcess::spawn(spawn)) (void)child->wait(std::chrono::seconds(10)).has_value();
    if (pid > 0) ::waitpid(pid, nullptr, 0);  // a child of ours: --detach makes it so
  }
  pid_t pid = 0;

 private:
  World& world_;
};

/// No cgroup of the test may stay behind; the runtime removes the container's, the project's is the engine's.
void remove_project_cgroup() {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/sys/fs/cgroup", ignored)) {
    ::rmdir((entry.path() / "compose/p").c_str());
    ::rmdir((entry.path() / "compose").c_str());
  }
  ::rmdir("/sys/fs/cgroup/compose/p");
  ::rmdir("/sys/fs/cgroup/compose");
}

}  // namespace

TEST_CASE("a prepared container runs with its root, names, user and mounts", "[containers]") {
  NEEDS_ROOT();
  const auto before = support::kernel_leftovers();
  {
    World world;
    if (!add_shell(world)) SKIP_TEST("no busybox");
    const auto bound = world.dir.write("host/file", "from the host");
    auto spec = World::spec();
    spec.hostname = "box";
    spec.extra_hosts = {"db=10.1.2.3"};
    spec.user = "web";
    spec.env = {"GREETING=hello"};
    spec.mounts = {{.type = MountType::bind, .source = bound.parent_path().string(), .target = "/mnt/host", .read_only = true},
                   {.type = MountType::volume, .source = "vol", .target = "/data"},
                   {.type = MountType::tmpfs, .target = "/scratch", .tmpfs_options = "size=1m,mode=0777"}};
    spec.files = {{.target = "/run/secrets/token", .content = "s3cret", .uid = 33, .mode = 0400}};
    const auto seen = run(world, spec, R"(
      id; hostname; pwd; echo $GREETING $FOO; grep db /etc/hosts; cat /etc/hostname
      cat /mnt/host/file /data/seed /run/secrets/token /app/conf; echo
      touch /mnt/host/new 2>&1 | grep -o 'Read-only'; stat -c '%u %a' /run/secrets/token
      echo x > /scratch/f && cat /scratch/f; touch /data/new 2>/dev/null || echo data is not mine
    )");
    CHECK(seen ==
          "uid=33(web) gid=44(webg) groups=44(webg),55(extra)\nbox\n/data\nhello bar\n10.1.2.3\tdb\nbox\n"
          "from the hostfrom the images3cretsecond layer\nRead-only\n33 400\nx\ndata is not mine\n");
    CHECK(std::filesystem::exists(paths::volume("vol") / "seed"));
  }
  remove_project_cgroup();
  CHECK(support::kernel_leftovers() == before);
}

TEST_CASE("a read-only container with init and limits runs", "[containers]") {
  NEEDS_ROOT();
  World world;
  if (!add_shell(world)) SKIP_TEST("no busybox");
  auto spec = World::spec();
  spec.read_only = spec.init = true;
  spec.resources.memory_bytes = 64 << 20;
  spec.ulimits = {{"nofile", 100, 200}};
  spec.security_opt = {"no-new-privileges"};
  spec.cap_drop = {"ALL"};
  const auto seen = run(world, spec, R"(
    touch /file 2>&1 | grep -o 'Read-only'; ulimit -n; ulimit -Hn; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status
    [ $$ = 1 ] || echo not pid 1
  )");
  CHECK(seen == "Read-only\n100\n200\nCapEff:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\nnot pid 1\n");
  remove_project_cgroup();
}

TEST_CASE("the changes of a run are in the writable layer and the next start sees them", "[containers]") {
  NEEDS_ROOT();
  World world;
  if (!add_shell(world)) SKIP_TEST("no busybox");
  CHECK(run(world, World::spec(), "echo one > /made") == "");
  CHECK(run(world, World::spec(), "cat /made") == "one\n");
  const auto changed = containers::changes(world.id, world.image.layer_dirs);
  REQUIRE(changed);
  CHECK(std::find(changed->begin(), changed->end(), containers::Change{containers::ChangeKind::added, "/made"}) != changed->end());
  remove_project_cgroup();
}

TEST_CASE("a container joins another's processes, shared memory and volumes in memory", "[containers]") {
  NEEDS_ROOT();
  World first;
  if (!add_shell(first)) SKIP_TEST("no busybox");
  {
    auto spec = World::spec();
    spec.hostname = "first";
    spec.ipc_mode = "shareable";
    spec.mounts = {{.type = MountType::tmpfs, .target = "/memory"}};
    const Background other(first, spec, "echo shm > /dev/shm/note; echo volume > /memory/note; exec sleep 1000");
    REQUIRE(other.pid > 0);
    const auto root = "/proc/" + std::to_string(other.pid) + "/root";
    REQUIRE(support::eventually([&] { return std::filesystem::exists(root + "/memory/note"); }));

    World second;
    REQUIRE(add_shell(second));
    second.id = std::string(64, 'b');
    ::setenv("COMPOSE_STATE_DIR", (first.dir.path() / "state").c_str(), 1);
    spec = World::spec();
    spec.pid_mode = spec.ipc_mode = spec.network_mode = "container:other";
    spec.mounts = {{.type = MountType::volume, .source = "memory", .target = "/m"}};
    containers::StartOptions options;
    options.peers["other"] = {other.pid, first.id, "first"};
    options.volume_holders["memory"] = {other.pid, "/memory"};
    options.volumes["memory"] = {.name = "memory", .driver_opts = {{"type", "tmpfs"}, {"device", "tmpfs"}}};
    CHECK(run(second, spec, "hostname; cat /dev/shm/note /m/note; ls /proc | grep -c '^1$'; cat /proc/1/cmdline | grep -o sleep", std::move(options)) ==
          "first\nshm\nvolume\n1\nsleep\n");
  }
  remove_project_cgroup();
}
