// Mounts, devices, masked paths and the root, as a process in the container sees them.
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "runtime/linux/kernel.h"
#include "tests/kernel/runtime/bundle.h"

using runtime_test::Bundle;
using runtime_test::mount_line;

namespace {

runtime::spec::Mount bind(const std::string& source, const std::string& target, std::vector<std::string> options = {}) {
  options.emplace_back("rbind");
  return {.destination = target, .type = "bind", .source = source, .options = std::move(options), .uid_mappings = {}, .gid_mappings = {}};
}

runtime::spec::Mount tmpfs(const std::string& target, std::vector<std::string> options = {}) {
  return {.destination = target, .type = "tmpfs", .source = "tmpfs", .options = std::move(options), .uid_mappings = {}, .gid_mappings = {}};
}

}  // namespace

TEST_CASE("Docker's default mounts, devices and links are there", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto seen = bundle.run();
  INFO(seen.out);
  CHECK(mount_line(seen, "/proc").find("rw,nosuid,nodev,noexec,relatime - proc") != std::string::npos);
  CHECK(mount_line(seen, "/dev").find("rw,nosuid - tmpfs tmpfs rw,size=65536k,mode=755") != std::string::npos);
  CHECK(mount_line(seen, "/dev/pts").find("rw,nosuid,noexec,relatime - devpts devpts rw,gid=5,mode=620,ptmxmode=666") != std::string::npos);
  CHECK(mount_line(seen, "/sys").find("ro,nosuid,nodev,noexec,relatime - sysfs") != std::string::npos);
  CHECK(mount_line(seen, "/dev/mqueue").find("mqueue") != std::string::npos);
  CHECK(mount_line(seen, "/dev/shm").find("rw,nosuid,nodev,noexec,relatime - tmpfs shm rw,size=65536k") != std::string::npos);
  CHECK(mount_line(seen, "/sys/fs/cgroup").find("ro,") != std::string::npos);
  CHECK(mount_line(seen, "/proc/sys").find("ro,") != std::string::npos);
  bundle.probe({"file", "/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx", "/dev/fd",
                "/dev/stdin", "/dev/stdout", "/dev/stderr", "/dev/console"});
  CHECK(bundle.run().out ==
        "/dev/null char 0666 0:0 1,3\n/dev/zero char 0666 0:0 1,5\n/dev/full char 0666 0:0 1,7\n"
        "/dev/random char 0666 0:0 1,8\n/dev/urandom char 0666 0:0 1,9\n/dev/tty char 0666 0:0 5,0\n"
        "/dev/ptmx link 0777 0:0 -> pts/ptmx\n/dev/fd link 0777 0:0 -> /proc/self/fd\n"
        "/dev/stdin link 0777 0:0 -> /proc/self/fd/0\n/dev/stdout link 0777 0:0 -> /proc/self/fd/1\n"
        "/dev/stderr link 0777 0:0 -> /proc/self/fd/2\n/dev/console ENOENT\n");
}

TEST_CASE("a source below the container's root is what the mounts before it have left there", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_directories(bundle.root() / "covered");
  REQUIRE(base::sys::write_file(bundle.root() / "covered/below", "x"));
  const auto shown = bundle.folder() / "shown";
  std::filesystem::create_directories(shown);
  REQUIRE(base::sys::write_file(shown / "above", "x"));
  bundle.config.mounts.push_back(bind(shown, "/covered"));
  bundle.config.mounts.push_back(bind(bundle.root() / "covered", "/seen"));
  bundle.config.mounts.push_back(bind("rootfs/seen/above", "/file", {"ro"}));  // relative to the bundle, in what was just made
  bundle.probe({"do", "file", "/seen/above", "/seen/below", "/file", ",", "write", "/file", "y"});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "/seen/above file 0644 0:0\n/seen/below ENOENT\n/file file 0644 0:0\nwrite /file EROFS\n");
  bundle.config.mounts.push_back(bind(bundle.root() / "covered/below", "/gone"));
  const auto refused = bundle.run();
  CHECK(refused.code == 1);
  CHECK(refused.err.find("mounting bind at /gone: bind source " + (bundle.root() / "covered/below").string()) != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a masked path that is listed twice is covered once", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_directories(bundle.root() / "hidden");
  bundle.config.linux_.masked_paths = {"/hidden", "/hidden"};
  const auto seen = bundle.run();
  std::size_t count = 0;
  for (const auto& line : seen.all("mount")) count += line.find(" /hidden ") != std::string::npos ? 1 : 0;
  CHECK(count == 1);
}

TEST_CASE("a target named by the host's path of the root is the path inside", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.mounts.push_back(bind(bundle.root() / "etc", bundle.root() / "made/here"));
  const auto seen = bundle.probe({"file", "/made/here/passwd"}).run();
  CHECK(seen.out == "/made/here/passwd file 0644 0:0\n");
}

namespace {

/// A tmpfs of the host with these flags, as the source of a bind.
class HostMount {
 public:
  HostMount(const std::filesystem::path& folder, unsigned long flags) : folder_(folder) {
    std::filesystem::create_directories(folder);
    // In two steps: the flags are the mount's, not the file system's.
    made_ = ::mount("tmpfs", folder.c_str(), "tmpfs", 0, "size=64k,mode=755") == 0 &&
            ::mount(nullptr, folder.c_str(), nullptr, MS_REMOUNT | MS_BIND | flags, nullptr) == 0;
  }
  ~HostMount() {
    if (made_) (void)::umount2(folder_.c_str(), MNT_DETACH);
  }
  HostMount(const HostMount&) = delete;
  HostMount& operator=(const HostMount&) = delete;
  [[nodiscard]] bool made() const { return made_; }

 private:
  std::filesystem::path folder_;
  bool made_ = false;
};

/// The options of the mount of `source` at /data; or the error.
std::string bound_flags(Bundle& bundle, const std::string& source, std::vector<std::string> words) {
  const auto mounts = bundle.config.mounts;
  bundle.config.mounts.push_back((bind)(source, "/data", std::move(words)));  // not std::bind
  const auto seen = bundle.run();
  bundle.config.mounts = mounts;
  if (seen.code != 0) return seen.err;
  const std::string line = mount_line(seen, "/data");
  return line.substr(6, line.find(' ', 6) - 6);
}

}  // namespace

TEST_CASE("any option of a bind mount makes those given all it has", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto source = bundle.folder() / "source";
  const HostMount host(source, MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOATIME);
  REQUIRE(host.made());
  CHECK(bound_flags(bundle, source, {}) == "ro,nosuid,nodev,noatime");
  CHECK(bound_flags(bundle, source, {"rw"}) == "rw,noatime");
  CHECK(bound_flags(bundle, source, {"noexec", "relatime"}) == "rw,noexec,relatime");
  CHECK(bound_flags(bundle, source, {"dev", "atime"}) == "rw,noatime");
}

TEST_CASE("in a user namespace a bind mount keeps what its source has, and refuses to lose it", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto source = bundle.folder() / "source";
  const HostMount host(source, MS_RDONLY | MS_NOSUID | MS_NOATIME);
  REQUIRE(host.made());
  std::filesystem::create_directories(bundle.root() / "data");  // the container's root could not make it
  bundle.config.linux_.namespaces.push_back({.type = "user", .path = ""});
  bundle.config.linux_.uid_mappings = bundle.config.linux_.gid_mappings = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  bundle.config.process->oom_score_adj.reset();
  CHECK(bound_flags(bundle, source, {"noexec"}) == "ro,nosuid,noexec,noatime");
  CHECK(bound_flags(bundle, source, {"rw"}).find("a user namespace may not change") != std::string::npos);
  CHECK(bound_flags(bundle, source, {"relatime"}).find("a user namespace may not change") != std::string::npos);
  CHECK(bound_flags(bundle, source, {"noatime", "ro"}) == "ro,nosuid,noatime");
  CHECK(bundle.leftovers().find("state") == std::string::npos);
}

TEST_CASE("idmap takes the mappings of a user namespace that is joined", "[ns]") {
  NEED_CONTAINERS();
  Bundle owner;
  owner.config.linux_.namespaces.push_back({.type = "user", .path = ""});
  owner.config.linux_.uid_mappings = owner.config.linux_.gid_mappings = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  owner.config.process->oom_score_adj.reset();
  owner.probe({"hold"});
  REQUIRE(owner.start({"--pid-file", owner.folder() / "pid"}).code == 0);
  Bundle bundle;
  const auto source = bundle.folder() / "source";
  const HostMount host(source, 0);
  REQUIRE(base::sys::write_file(source / "file", "x"));
  bundle.config.linux_.namespaces.push_back({.type = "user", .path = "/proc/" + *base::sys::read_file(owner.folder() / "pid") + "/ns/user"});
  bundle.config.process->oom_score_adj.reset();
  std::filesystem::create_directories(bundle.root() / "data");
  auto mount = bind(source, "/data", {"idmap"});
  bundle.config.mounts.push_back(mount);
  const auto seen = bundle.probe({"file", "/data/file"}).run();
  INFO(seen.err);
  CHECK(seen.out == "/data/file file 0644 0:0\n");
}

TEST_CASE("a source below the container's root can have its ids mapped", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto shown = bundle.folder() / "shown";
  std::filesystem::create_directories(shown);
  REQUIRE(base::sys::write_file(shown / "file", "x"));
  const HostMount host(shown, 0);
  REQUIRE(base::sys::write_file(shown / "file", "x"));
  bundle.config.mounts.push_back(bind(shown, "/covered"));
  auto mapped = bind(bundle.root() / "covered", "/seen");
  mapped.uid_mappings = mapped.gid_mappings = {{.container_id = 0, .host_id = 7000, .size = 10}};
  bundle.config.mounts.push_back(mapped);
  const auto seen = bundle.probe({"file", "/covered/file", "/seen/file"}).run();
  INFO(seen.err);
  CHECK(seen.out == "/covered/file file 0644 0:0\n/seen/file file 0644 7000:7000\n");
}

TEST_CASE("in a user namespace a covered source below the container's root has its ids mapped by the runtime", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto shown = bundle.folder() / "shown";
  const HostMount host(shown, 0);
  REQUIRE(base::sys::write_file(shown / "file", "above\n"));
  for (const char* folder : {"covered", "seen", "own", "again"}) std::filesystem::create_directories(bundle.root() / folder);
  REQUIRE(base::sys::write_file(bundle.root() / "covered/file", "below"));
  bundle.config.linux_.namespaces.push_back({.type = "user", .path = ""});
  bundle.config.linux_.uid_mappings = bundle.config.linux_.gid_mappings = {{.container_id = 0, .host_id = 100000, .size = 65536}};
  bundle.config.process->oom_score_adj.reset();
  bundle.config.mounts.push_back(bind(shown, "/covered"));
  bundle.config.mounts.push_back(bind(bundle.root() / "covered", "/seen", {"idmap"}));
  auto own = bind(bundle.root() / "covered", "/own");
  own.uid_mappings = own.gid_mappings = {{.container_id = 0, .host_id = 107000, .size = 10}};
  bundle.config.mounts.push_back(own);
  const auto seen = bundle.probe({"do", "read", "/seen/file", ",", "file", "/covered/file", "/seen/file", "/own/file"}).run();
  INFO(seen.err);
  CHECK(seen.out == "above\n/covered/file file 0644 65534:65534\n/seen/file file 0644 0:0\n/own/file file 0644 7000:7000\n");

  // What the runtime may not do either is its error, by name: a mount that is mapped already.
  bundle.config.mounts.push_back(bind(bundle.root() / "seen", "/again", {"idmap"}));
  const auto refused = bundle.run();
  CHECK(refused.code == 1);
  CHECK(refused.err.find("mounting at /again: the id mappings of ") != std::string::npos);
  CHECK(bundle.leftovers().find("state") == std::string::npos);
}

TEST_CASE("a source below the container's root does not follow the image's links to the host", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto secret = bundle.folder() / "secret";
  REQUIRE(base::sys::write_file(secret, "of the host"));
  std::filesystem::create_symlink(secret, bundle.root() / "link");
  bundle.config.mounts.push_back(bind(bundle.root() / "link", "/file"));
  const auto seen = bundle.probe({"read", "/file"}).run();
  CHECK(seen.code == 1);
  CHECK(seen.err.find("bind source") != std::string::npos);
  CHECK(seen.out == "");
}

TEST_CASE("a device /dev/ptmx is the container's own multiplexer", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.devices.push_back({.type = "c", .path = "/dev/ptmx", .major = 5, .minor = 2, .file_mode = {}, .uid = {}, .gid = {}});
  CHECK(bundle.probe({"file", "/dev/ptmx"}).run().out == "/dev/ptmx link 0777 0:0 -> pts/ptmx\n");
}

TEST_CASE("a read-only /dev gets its nodes, and a read-only tmpfs its mounts, before it is closed", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  for (auto& mount : bundle.config.mounts)
    if (mount.destination == "/dev") mount.options.emplace_back("ro");
  bundle.config.mounts.push_back(tmpfs("/srv", {"ro"}));
  bundle.config.mounts.push_back(tmpfs("/srv/inner"));
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(mount_line(seen, "/dev").find(" ro,nosuid") != std::string::npos);
  CHECK(mount_line(seen, "/dev/pts").find(" rw,") != std::string::npos);
  bundle.probe({"do", "mkdir", "/dev/made", ",", "mkdir", "/srv/made", ",", "mkdir", "/srv/inner/made", ",", "file", "/dev/null"});
  CHECK(bundle.run().out == "mkdir EROFS\nmkdir EROFS\nmkdir ok\n/dev/null char 0666 0:0 1,3\n");
}

TEST_CASE("a tmpfs has the permissions of the folder below it, or those it asks for", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_directories(bundle.root() / "srv/kept");
  std::filesystem::permissions(bundle.root() / "srv/kept", std::filesystem::perms(0710));
  bundle.config.mounts.push_back(tmpfs("/srv/kept"));
  bundle.config.mounts.push_back(tmpfs("/srv/new"));
  bundle.probe({"file", "/srv/kept", "/srv/new"});
  CHECK(bundle.run().out == "/srv/kept dir 0710 0:0\n/srv/new dir 1777 0:0\n");
  bundle.config.mounts[bundle.config.mounts.size() - 2].options = {"mode=1500"};
  CHECK(bundle.run().out == "/srv/kept dir 1500 0:0\n/srv/new dir 0755 0:0\n");  // the folder of the first run
}

TEST_CASE("masked files read as empty, masked folders too, and read-only paths refuse writes", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  (void)bundle.folder();
  std::filesystem::create_directories(bundle.root() / "srv/secret");
  REQUIRE(base::sys::write_file(bundle.root() / "srv/secret/key", "key\n"));
  REQUIRE(base::sys::write_file(bundle.root() / "srv/file", "content\n"));
  auto& config = bundle.config.linux_;
  config.masked_paths.insert(config.masked_paths.end(), {"/srv/secret", "/srv/file", "/srv/absent"});
  config.readonly_paths.emplace_back("/etc");
  bundle.probe({"do", "file", "/srv/secret/key", "/srv/secret", ",", "read", "/srv/file", ",", "write", "/etc/new", "x", ",", "write",
                "/proc/sys/kernel/hostname", "x", ",", "write", "/srv/secret/x", "x", ",", "write", "/tmp/fine", "x"});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "/srv/secret/key ENOENT\n/srv/secret dir 0755 0:0\nwrite /etc/new EROFS\nwrite /proc/sys/kernel/hostname EROFS\n"
                    "write /srv/secret/x EROFS\nwrite /tmp/fine ok\n");
}

TEST_CASE("a read-only root can still hold mounts that are writable", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.root.readonly = true;
  bundle.config.mounts.push_back(tmpfs("/run/new/place", {"size=1m", "mode=0700"}));
  bundle.probe({"do", "write", "/etc/new", "x", ",", "write", "/run/new/place/x", "x", ",", "file", "/run/new/place"});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "write /etc/new EROFS\nwrite /run/new/place/x ok\n/run/new/place dir 0700 0:0\n");
}

TEST_CASE("binds of folders and files, with attributes for one mount or the whole tree", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto data = bundle.folder() / "data";
  std::filesystem::create_directories(data / "inner");
  REQUIRE(base::sys::write_file(data / "file", "content\n"));
  REQUIRE(::mount("none", (data / "inner").c_str(), "tmpfs", 0, nullptr) == 0);
  auto& mounts = bundle.config.mounts;
  mounts.push_back(bind(data, "/plain"));
  mounts.push_back(bind(data, "/ro", {"ro", "nosuid", "nodev", "noexec"}));
  mounts.push_back(bind(data, "/rro", {"rro"}));
  mounts.push_back(bind(data / "file", "/new/file", {"ro"}));
  bundle.probe({"do", "write", "/plain/a", "x", ",", "write", "/ro/a", "x", ",", "write", "/ro/inner/a", "x", ",", "write",
                "/rro/inner/a", "x", ",", "read", "/new/file", ",", "write", "/new/file", "x", ",", "report"});
  const auto seen = bundle.run();
  ::umount2((data / "inner").c_str(), MNT_DETACH);
  INFO(seen.err);
  CHECK(seen.out.starts_with("write /plain/a ok\nwrite /ro/a EROFS\nwrite /ro/inner/a ok\nwrite /rro/inner/a EROFS\ncontent\n"
                             "write /new/file EROFS\n"));
  CHECK(mount_line(seen, "/ro").find("ro,nosuid,nodev,noexec") != std::string::npos);
  // Private by default: no "shared:" or "master:" field.
  CHECK(mount_line(seen, "/plain").find("shared:") == std::string::npos);
  CHECK(mount_line(seen, "/plain").find("master:") == std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a missing bind source and an unknown option are errors that name the mount", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.mounts.push_back(bind("/no/such/source", "/x"));
  auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(seen.err == "compose-runtime: mounting at /x: bind source /no/such/source: no such file or directory\n");
  bundle.config.mounts.back() = bind("/tmp", "/x", {"shiny"});
  seen = bundle.run();
  CHECK(seen.err.find("(/x): option 'shiny' means nothing for a bind mount") != std::string::npos);
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("tmpcopyup starts a tmpfs with what the image has there", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_directories(bundle.root() / "var/data/deep");
  REQUIRE(base::sys::write_file(bundle.root() / "var/data/deep/file", "from the image\n", 0640));
  std::filesystem::create_symlink("deep/file", bundle.root() / "var/data/link");
  bundle.config.mounts.push_back(tmpfs("/var/data", {"tmpcopyup"}));
  bundle.probe({"do", "read", "/var/data/link", ",", "file", "/var/data/deep/file", ",", "write", "/var/data/deep/file", "changed"});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "from the image\n/var/data/deep/file file 0640 0:0\nwrite /var/data/deep/file ok\n");
  CHECK(*base::sys::read_file(bundle.root() / "var/data/deep/file") == "from the image\n");
}

TEST_CASE("devices from the configuration get their mode and owner, and the cgroup allows only what the rules do", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  bundle.config.linux_.devices = {{.type = "c", .path = "/dev/fuse", .major = 10, .minor = 229, .file_mode = 0640, .uid = 7, .gid = 8},
                                  {.type = "p", .path = "/dev/pipe", .major = 0, .minor = 0, .file_mode = 0600, .uid = {}, .gid = {}}};
  bundle.probe({"do", "file", "/dev/fuse", "/dev/pipe", ",", "read", "/dev/fuse", ",", "mknod", "/tmp/mem", "1", "1", ",", "read",
                "/tmp/mem", ",", "write", "/dev/null", "x"});
  const auto seen = bundle.run();
  INFO(seen.err);
  CHECK(seen.out == "/dev/fuse char 0640 7:8 10,229\n/dev/pipe fifo 0600 0:0\nEPERM\nmknod ok\nEPERM\nwrite /dev/null ok\n");
}

TEST_CASE("propagation of a mount is what its option says", "[ns]") {
  NEED_CONTAINERS();
  // The source must be a shared mount of a mount namespace of our own.
  const auto out = support::in_namespaces(CLONE_NEWNS, [] {
    Bundle bundle;
    const auto data = bundle.folder() / "data";
    std::filesystem::create_directories(data);
    if (::mount("none", data.c_str(), "tmpfs", 0, nullptr) != 0 || ::mount(nullptr, data.c_str(), nullptr, MS_SHARED, nullptr) != 0)
      return std::string("cannot prepare");
    bundle.config.mounts.push_back(bind(data, "/shared", {"rshared"}));
    bundle.config.mounts.push_back(bind(data, "/slave", {"rslave"}));
    bundle.config.mounts.push_back(bind(data, "/private", {"rprivate"}));
    const auto seen = bundle.run();
    std::string text = seen.err;
    for (const char* target : {"/shared", "/slave", "/private"}) {
      const auto line = mount_line(seen, target);
      text += std::string(line.find("shared:") != std::string::npos ? "shared " : "") +
              (line.find("master:") != std::string::npos ? "slave" : "") + "\n";
    }
    ::umount2(data.c_str(), MNT_DETACH);
    return text;
  });
  REQUIRE(out);
  CHECK(*out == "shared \nslave\n\n");
}

TEST_CASE("an id-mapped bind shows other owners", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  const auto data = bundle.folder() / "data";
  std::filesystem::create_directories(data);
  REQUIRE(base::sys::write_file(data / "file", "x"));
  REQUIRE(::chown((data / "file").c_str(), 1000, 1000) == 0);
  auto mount = bind(data, "/data");
  mount.uid_mappings = mount.gid_mappings = {{.container_id = 1000, .host_id = 5000, .size = 10}};
  bundle.config.mounts.push_back(mount);
  const auto seen = bundle.probe({"file", "/data/file"}).run();
  INFO(seen.err);
  CHECK(seen.out == "/data/file file 0644 5000:5000\n");
}

TEST_CASE("the root can be a detached mount at a descriptor, and so can a mount's source", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_directories(bundle.folder() / "data");
  REQUIRE(base::sys::write_file(bundle.folder() / "data/file", "through a descriptor\n"));
  const auto root = runtime::kernel::open_tree(base::Fd(AT_FDCWD), bundle.root().c_str(), OPEN_TREE_CLONE);
  const auto context = runtime::kernel::fsopen("tmpfs");
  REQUIRE((root && context));
  const auto detached = runtime::kernel::fsmount(context->borrow(), 0);
  REQUIRE(detached);
  REQUIRE(base::sys::write_file_at(detached->borrow(), "in-tmpfs", "detached\n"));
  const auto folder = base::sys::open(bundle.folder() / "data", O_PATH | O_DIRECTORY);
  REQUIRE(folder);
  bundle.config.root.path = "/nowhere";
  bundle.config.mounts.push_back(bind("/proc/self/fd/11", "/detached"));
  bundle.config.mounts.push_back(bind("/proc/self/fd/12", "/data"));
  bundle.probe({"do", "read", "/detached/in-tmpfs", ",", "read", "/data/file", ",", "report"});
  bundle.write_config();
  const auto seen = bundle.runtime({"run", "--rootfs-fd", "10", "--bundle", bundle.folder(), bundle.id()},
                                   {{root->borrow(), 10}, {detached->borrow(), 11}, {folder->borrow(), 12}});
  INFO(seen.err);
  CHECK(seen.out.starts_with("detached\nthrough a descriptor\n"));
  CHECK(seen.one("fds") == "0 1 2");
  CHECK(bundle.leftovers() == "");
}

TEST_CASE("a root is moved instead of pivoted, and links are copied, when asked", "[ns]") {
  NEED_CONTAINERS();
  Bundle bundle;
  std::filesystem::create_symlink("/etc/passwd", bundle.folder() / "link");
  bundle.config.mounts.push_back(bind(bundle.folder() / "link", "/the-link", {"copy-symlink"}));
  bundle.probe({"do", "file", "/the-link", ",", "file", "/etc/passwd"});
  const auto seen = bundle.run({"--no-pivot"});
  INFO(seen.err);
  CHECK(seen.out == "/the-link link 0777 0:0 -> /etc/passwd\n/etc/passwd file 0644 0:0\n");
}
