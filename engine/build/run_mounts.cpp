#include "engine/build/run_mounts.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/build/agent_proxy.h"
#include "engine/build/copy.h"
#include "engine/build/step_network.h"
#include "engine/containers/root.h"
#include "runtime/spec/docker_defaults.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t secret_bytes_max = 500 * 1024;  // BuildKit's limit

std::uint32_t id_of(const std::optional<std::string>& text) { return text ? static_cast<std::uint32_t>(std::stoul(*text)) : 0; }

/// Attached mounts of this thread's namespace, undone when the step is over.
void detach(const fs::path& path) { (void)::umount2(path.c_str(), MNT_DETACH); }

}  // namespace

RunMounts::RunMounts(Workbench& bench, RunStep& step) : bench_(bench), step_(step) {
  for (const auto& mount : runtime::spec::docker::mounts()) targets_.emplace_back(mount.destination, true);
}

RunMounts::~RunMounts() {
  for (const auto& path : attached_) detach(path);
}

void RunMounts::bind(UniqueFd fd, const std::string& target, bool read_only, bool folder) {
  const int number = RunStep::first_fd + static_cast<int>(step_.fds.size());
  step_.fds.push_back(fd.borrow());
  kept_.push_back(std::move(fd));
  runtime::spec::Mount mount;
  mount.destination = target;
  mount.type = "bind";
  mount.source = "/proc/self/fd/" + std::to_string(number);
  mount.options = {"bind", "nosuid", "nodev", read_only ? "ro" : "rw", "rprivate"};
  step_.mounts.push_back(std::move(mount));
  targets_.emplace_back(target, folder);
}

Result<> RunMounts::add_names() {
  ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_private_folder());
  const std::string hostname = step_.hostname.empty() ? "buildkitsandbox" : step_.hostname;
  std::string hosts = "127.0.0.1\tlocalhost " + hostname + "\n::1\tlocalhost ip6-localhost ip6-loopback\n";
  for (const auto& entry : bench_.request.extra_hosts) {
    const std::size_t at = entry.find_first_of("=:");
    if (at == std::string::npos) return base::make_error(base::ErrorKind::invalid, "invalid host " + entry);
    std::string address = entry.substr(at + 1);
    if (address.size() > 2 && address.front() == '[' && address.back() == ']') address = address.substr(1, address.size() - 2);
    if (address == "host-gateway") address = step_.netns.valid() ? bench_.network->host_gateway() : "127.0.0.1";
    hosts += address + "\t" + entry.substr(0, at) + "\n";
  }
  const auto file = base::sys::read_file("/etc/resolv.conf", 1u << 20), upstream = base::sys::read_file("/run/systemd/resolve/resolv.conf", 1u << 20);
  std::string resolv = file ? *file : "";
  if (step_.netns.valid()) resolv = step_resolv(resolv, upstream ? *upstream : "");
  for (const auto& [name, text] : {std::pair<std::string, std::string>("hosts", hosts), {"resolv.conf", resolv}}) {
    TRY(base::sys::write_file(folder / name, text, 0644));
    ASSIGN_OR_RETURN(UniqueFd fd, base::sys::open(folder / name, O_PATH));
    bind(std::move(fd), "/etc/" + name, true, false);
  }
  return {};
}

Result<> RunMounts::add_script(const std::string& path, const std::string& text) {
  ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_folder());
  TRY(base::sys::wrap("chmod", ::chmod(folder.c_str(), 0755)));
  const fs::path file = folder / fs::path(path).filename();
  TRY(base::sys::write_file(file, text, 0755));
  TRY(base::sys::wrap("chmod", ::chmod(file.c_str(), 0755)));
  ASSIGN_OR_RETURN(UniqueFd fd, base::sys::open(folder, O_PATH | O_DIRECTORY));
  bind(std::move(fd), fs::path(path).parent_path().string(), true, true);
  return {};
}

Result<> RunMounts::add(const RunMount& mount, ReadyTree tree) {
  switch (mount.type) {
    case RunMountType::bind: return add_bind(mount, std::move(tree));
    case RunMountType::cache: return add_cache(mount, std::move(tree));
    case RunMountType::tmpfs: return add_tmpfs(mount);
    case RunMountType::secret: return add_secret(mount);
    case RunMountType::ssh: return add_ssh(mount);
  }
  return {};
}

/// What the step may see of a context: it itself, or a copy where the step may write, something is ignored, or files belong to
/// others than root, as which a build has all of its context.
Result<UniqueFd> RunMounts::context_part(const RunMount& mount, Fd context, const IgnoreRules* ignore, bool read_only) {
  ASSIGN_OR_RETURN(const std::string real, real_path_in_root(context, clean_path("/" + mount.source)));
  const std::string path = clean_path("/" + real).substr(1);
  const Tree source{.root = context, .ignore = ignore, .xattrs = false};
  ASSIGN_OR_RETURN(const Item item, list_item(source, path));
  const bool roots = std::all_of(item.entries.begin(), item.entries.end(), [](const Entry& entry) { return entry.info.st_uid == 0 && entry.info.st_gid == 0; });
  if (read_only && ignore->empty() && roots) return open_in_root(context, path, O_PATH);
  ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_folder());
  TRY(base::sys::wrap("chmod", ::chmod(folder.c_str(), 0755)));
  ASSIGN_OR_RETURN(const UniqueFd copy, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
  TRY(copy_item(source, item, {.root = copy.borrow(), .path = item.is_directory() ? "/" : "/copy", .owner = {}, .chmod = {}, .mtime_s = {}}));
  if (!item.is_directory()) return open_in_root(copy.borrow(), "copy", O_PATH);
  if (!path.empty()) TRY(base::sys::wrap("chmod", ::fchmod(copy.number(), item.entries.front().info.st_mode & 07777)));
  return open_in_root(copy.borrow(), "", O_PATH);
}

Result<> RunMounts::add_bind(const RunMount& mount, ReadyTree tree) {
  const bool read_only = mount.read_only.value_or(true);
  const bool from_layers = tree.ignore == nullptr;
  UniqueFd root = std::move(tree.root);
  if (from_layers && !tree.layers.folders.empty()) {
    if (!read_only) {  // what is written is thrown away with the session
      ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_folder());
      TRY(base::sys::make_directories(folder / "upper"));
      TRY(base::sys::make_directories(folder / "work"));
      ASSIGN_OR_RETURN(root, containers::mount_root(tree.layers.folders, {.upper = folder / "upper", .work = folder / "work", .no_sync = true}));
    }
    // A part of a detached mount cannot be cloned on older kernels: it is attached in this thread's namespace.
    ASSIGN_OR_RETURN(const fs::path place, bench_.session.new_folder());
    TRY(base::sys::wrap("move_mount", ::move_mount(root.number(), "", AT_FDCWD, place.c_str(), MOVE_MOUNT_F_EMPTY_PATH)));
    attached_.push_back(place);
    ASSIGN_OR_RETURN(root, base::sys::open(place, O_PATH | O_DIRECTORY));
  }
  auto fd = from_layers ? open_in_root(root.borrow(), clean_path("/" + mount.source).substr(1), O_PATH)
                        : context_part(mount, root.borrow(), tree.ignore, read_only);
  if (!fd) {
    if (fd.error().kind == base::ErrorKind::not_found)
      return base::make_error(base::ErrorKind::not_found, "\"" + clean_path("/" + mount.source) + "\": not found");
    return std::move(fd).error();
  }
  struct stat info {};
  TRY(base::sys::wrap("stat", ::fstat(fd->number(), &info)));
  kept_.push_back(std::move(root));
  bind(std::move(*fd), mount.target, read_only, S_ISDIR(info.st_mode));
  return {};
}

namespace {
/// A shared cache may be made by several steps at once: the first one's stays.
Result<> put(const fs::path& made, const fs::path& path) {
  if (::renameat2(AT_FDCWD, made.c_str(), AT_FDCWD, path.c_str(), RENAME_NOREPLACE) == 0 || errno == EEXIST) return {};
  return base::errno_error(errno, "rename " + made.string() + " to " + path.string());
}
}  // namespace

/// A new cache, seeded or empty. A seeded one looks like its source, which may be a file; uid, gid and mode speak of empty ones,
/// and make one of a whole tree. As in BuildKit, whose umask takes part in the mode.
Result<> RunMounts::make_cache(const RunMount& mount, const ReadyTree& tree, const std::filesystem::path& path) {
  const std::string below = clean_path("/" + mount.source).substr(1);
  const bool seeded = tree.root.valid() && (!below.empty() || (!mount.uid && !mount.gid && !mount.mode));
  // In a folder of our own until it is whole: others see all of a cache or nothing.
  ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_folder());
  const fs::path made = folder / "cache";
  TRY(base::sys::make_directories(made, 0755));
  ASSIGN_OR_RETURN(const UniqueFd root, base::sys::open(made, O_RDONLY | O_DIRECTORY));
  if (!seeded) {
    TRY(base::sys::wrap("chown", ::fchown(root.number(), id_of(mount.uid), id_of(mount.gid))));
    TRY(base::sys::wrap("chmod", ::fchmod(root.number(), mount.mode.value_or(0755) & 0755)));
    return put(made, path);
  }
  const bool owners = tree.ignore == nullptr;
  const Tree source{.root = tree.root.borrow(), .ignore = tree.ignore, .xattrs = true, .owners = owners};
  ASSIGN_OR_RETURN(const Item item, list_item(source, below));
  const bool is_folder = item.is_directory();
  TRY(copy_item(source, item, {.root = root.borrow(), .path = is_folder ? "/" : "/seed", .owner = {}, .chmod = {}, .mtime_s = {}}));
  if (!is_folder) return put(made / "seed", path);
  const auto& seed = item.entries.front().info;
  TRY(base::sys::wrap("chown", ::fchown(root.number(), owners ? seed.st_uid : 0, owners ? seed.st_gid : 0)));
  TRY(base::sys::wrap("chmod", ::fchmod(root.number(), seed.st_mode & 07777)));
  return put(made, path);
}

namespace {
/// What makes two cache mounts one cache: the id, what it begins as a copy of, and the rights that are asked for, as in BuildKit.
std::string cache_name(const RunMount& mount, const ReadyTree& tree) {
  Hasher name;
  name.field(mount.id);
  if (!mount.from.empty()) name.field(tree.ignore == nullptr ? tree.layers.top() : "context " + mount.from).field(clean_path("/" + mount.source));
  if (clean_path("/" + mount.source) == "/" && (mount.uid || mount.gid || mount.mode))  // of a part of something they do not speak
    name.field("rights").field(mount.uid.value_or("0")).field(mount.gid.value_or("0")).number(mount.mode.value_or(0755));
  return name.hex().substr(7, 32);
}
}  // namespace

Result<> RunMounts::take_caches(const std::vector<RunMount>& mounts, const std::vector<ReadyTree>& trees) {
  std::map<std::string, const RunMount*> wanted;  // the first mount of a cache says how it is shared
  for (std::size_t i = 0; i < mounts.size(); ++i)
    if (mounts[i].type == RunMountType::cache) wanted.emplace(cache_name(mounts[i], trees[i]), &mounts[i]);
  for (const auto& [name, mount] : wanted) {
    ASSIGN_OR_RETURN(caches_[name], take_cache(name, *mount));
  }
  return {};
}

/// The locked folder of a cache; it may not be there yet.
Result<fs::path> RunMounts::take_cache(const std::string& name, const RunMount& mount) {
  const fs::path base_path = paths::build_cache() / "mounts" / name;
  TRY(base::sys::make_directories(base_path.parent_path(), 0700));
  for (int number = 0;; ++number) {
    const fs::path folder = base_path.string() + (number == 0 ? "" : "-" + std::to_string(number));
    ASSIGN_OR_RETURN(UniqueFd lock, base::sys::open(folder.string() + ".lock", O_RDWR | O_CREAT, 0600));
    const int mode = mount.sharing == CacheSharing::shared ? LOCK_SH : mount.sharing == CacheSharing::locked ? LOCK_EX : LOCK_EX | LOCK_NB;
    if (::flock(lock.number(), mode) == 0) {
      kept_.push_back(std::move(lock));
      return folder;
    }
    if (errno == EWOULDBLOCK && number < 1000) continue;  // private: a folder of its own
    return base::errno_error(errno, "locking cache " + mount.id);
  }
}

Result<> RunMounts::add_cache(const RunMount& mount, ReadyTree tree) {
  const fs::path& folder = caches_.at(cache_name(mount, tree));
  if (!fs::exists(folder)) TRY(make_cache(mount, tree, folder));
  ASSIGN_OR_RETURN(UniqueFd fd, base::sys::open(folder, O_PATH | O_NOFOLLOW));
  struct stat info {};
  TRY(base::sys::wrap("stat", ::fstat(fd.number(), &info)));
  bind(std::move(fd), mount.target, mount.read_only.value_or(false), S_ISDIR(info.st_mode));
  return {};
}

Result<> RunMounts::add_tmpfs(const RunMount& mount) {
  runtime::spec::Mount tmpfs;
  tmpfs.destination = mount.target;
  tmpfs.type = "tmpfs";
  tmpfs.source = "tmpfs";
  tmpfs.options = {"nosuid"};
  if (mount.read_only.value_or(false)) tmpfs.options.emplace_back("ro");
  // One on a folder that is there looks like it; one on a new place is for all, as under runc.
  const bool inside = std::any_of(step_.mounts.begin(), step_.mounts.end(), [&](const runtime::spec::Mount& other) {
    return other.type == "bind" && mount.target.starts_with(other.destination + "/");
  });
  if (!inside && !open_in_root(step_.root, mount.target.substr(1), O_PATH | O_DIRECTORY)) tmpfs.options.emplace_back("mode=1777");
  if (mount.size_bytes > 0) tmpfs.options.push_back("size=" + std::to_string(mount.size_bytes));
  step_.mounts.push_back(std::move(tmpfs));
  targets_.emplace_back(mount.target, true);
  return {};
}

Result<> RunMounts::add_secret(const RunMount& mount) {
  const auto& secrets = bench_.request.secrets;
  const auto source = std::find_if(secrets.begin(), secrets.end(), [&](const SecretSource& one) { return one.id == mount.id; });
  std::optional<std::string> content;
  if (source != secrets.end() && !source->file.empty()) {
    ASSIGN_OR_RETURN(content, base::sys::read_file(source->file, secret_bytes_max).with("secret " + mount.id));
  } else if (source != secrets.end()) {
    const char* value = std::getenv(source->env.empty() ? source->id.c_str() : source->env.c_str());
    if (value != nullptr) content = value;
  }
  if (!content) {
    if (mount.required) return base::make_error(base::ErrorKind::not_found, "secret " + mount.id + ": not found");
    return {};
  }
  if (mount.env) step_.env.push_back(*mount.env + "=" + *content);
  if (mount.target.empty()) return {};
  ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_private_folder());
  TRY(base::sys::write_file(folder / "secret", *content, 0600));
  ASSIGN_OR_RETURN(UniqueFd file, base::sys::open(folder / "secret", O_RDONLY));
  TRY(base::sys::wrap("chown", ::fchown(file.number(), id_of(mount.uid), id_of(mount.gid))));
  TRY(base::sys::wrap("chmod", ::fchmod(file.number(), mount.mode.value_or(0400))));
  bind(std::move(file), mount.target, true, false);
  return {};
}

Result<> RunMounts::add_ssh(const RunMount& mount) {
  const bool known = std::any_of(step_.env.begin(), step_.env.end(), [](const std::string& entry) { return entry.starts_with("SSH_AUTH_SOCK="); });
  if (!known) step_.env.push_back("SSH_AUTH_SOCK=" + mount.target);
  const auto& all = bench_.request.ssh;
  const auto source = std::find_if(all.begin(), all.end(), [&](const SshSource& one) { return one.id == mount.id; });
  const char* own = std::getenv("SSH_AUTH_SOCK");
  std::string agent;
  if (source != all.end()) agent = !source->paths.empty() ? source->paths.front() : own != nullptr ? own : "";
  if (agent.empty()) {
    if (mount.required) return base::make_error(base::ErrorKind::not_found, "unset ssh forward key " + mount.id);
    return {};
  }
  std::error_code ignored;
  if (!fs::is_socket(agent, ignored))
    return base::make_error(base::ErrorKind::unsupported,
                            "ssh key " + mount.id + ": " + agent + " is not an agent's socket; add the key to an agent");
  ASSIGN_OR_RETURN(const fs::path folder, bench_.session.new_private_folder());
  ASSIGN_OR_RETURN(auto proxy, AgentProxy::start(folder / "agent", agent));
  agents_.push_back(std::move(proxy));
  TRY(base::sys::wrap("chown", ::chown((folder / "agent").c_str(), id_of(mount.uid), id_of(mount.gid))));
  TRY(base::sys::wrap("chmod", ::chmod((folder / "agent").c_str(), mount.mode.value_or(0600))));
  ASSIGN_OR_RETURN(UniqueFd fd, base::sys::open(folder / "agent", O_PATH));
  bind(std::move(fd), mount.target, false, false);
  return {};
}

std::vector<std::pair<std::string, bool>> RunMounts::targets() const {
  // In the order they are mounted: what comes inside an earlier one is made in that one by the runtime.
  std::vector<std::pair<std::string, bool>> outermost;
  for (const auto& one : targets_) {
    const bool inside = std::any_of(outermost.begin(), outermost.end(), [&](const auto& other) {
      return other.second && other.first != one.first && one.first.starts_with(other.first + "/");
    });
    if (!inside) outermost.push_back(one);
  }
  return outermost;
}

}  // namespace engine::build
