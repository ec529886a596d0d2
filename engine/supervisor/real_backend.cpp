#include "engine/supervisor/real_backend.h"

#include <unistd.h>

#include <atomic>
#include <charconv>
#include <mutex>
#include <thread>

#include "base/log.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"
#include "engine/containers/containers.h"
#include "engine/containers/root.h"
#include "engine/images/image_store.h"
#include "engine/store/info.h"
#include "engine/supervisor/ids.h"
#include "engine/supervisor/networks.h"
#include "engine/supervisor/runtime_call.h"
#include "runtime/oci/destroy.h"
#include "volumes/volumes.h"

namespace engine::supervisor {
namespace {

using base::Error;
using base::ErrorKind;
using base::Fd;
using base::make_error;
using base::UniqueFd;
using ImagePtr = std::shared_ptr<const images::Image>;
using StringMap = std::map<std::string, std::string>;

/// A container's folder without a record is older than this only when whoever was making it is dead.
constexpr std::chrono::minutes half_made_limit{10};

/// "container:NAME" → "NAME"; "" for anything else.
std::string peer_name(const std::string& mode) { return mode.starts_with("container:") ? mode.substr(10) : ""; }

Result<pid_t> read_pid(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const auto text, base::sys::read_file(file, 64));
  pid_t pid = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), pid).ec != std::errc() || pid <= 0)
    return make_error(ErrorKind::internal, "no pid in " + file.string());
  return pid;
}

/// A start that failed may leave its dead process behind as a child of ours. Unreaped, a zombie in a pid namespace keeps the namespace's
/// init from ending.
void reap_failed(const std::filesystem::path& pid_file) {
  const auto pid = read_pid(pid_file);
  if (!pid) return;
  if (auto pidfd = base::sys::pidfd_open(*pid)) {
    auto child = base::ChildProcess::adopt(*pid, *std::move(pidfd));
    if (!child.wait(std::chrono::seconds(5))) (void)child.detach();  // not ours, or stuck: nothing more to be done
  }
}

/// Each worker's own connection to the store: a Store is used by one thread at a time.
class ThreadStores {
  struct Slot {
    std::unique_ptr<store::Store> store;
    int users = 0;
  };

 public:
  /// The calling thread's store, kept open at least as long as this lives.
  class Lease {
   public:
    Lease(ThreadStores& owner, Slot& slot) : owner_(&owner), slot_(&slot) {}
    Lease(Lease&& other) noexcept : owner_(other.owner_), slot_(std::exchange(other.slot_, nullptr)) {}
    Lease& operator=(Lease&&) = delete;
    ~Lease() {
      if (!slot_) return;
      const std::lock_guard guard(owner_->lock_);
      --slot_->users;
    }
    store::Store& operator*() const { return *slot_->store; }
    store::Store* operator->() const { return slot_->store.get(); }

   private:
    ThreadStores* owner_;
    Slot* slot_;
  };

  Result<Lease> take() {
    Slot* slot = nullptr;
    {
      const std::lock_guard guard(lock_);
      slot = &slots_[std::this_thread::get_id()];
      ++slot->users;
    }
    Lease lease(*this, *slot);
    if (!slot->store) {
      ASSIGN_OR_RETURN(auto opened, store::Store::open());
      slot->store = std::make_unique<store::Store>(std::move(opened));
    }
    return lease;
  }

  void close_unused() {
    const std::lock_guard guard(lock_);
    std::erase_if(slots_, [](const auto& entry) { return entry.second.users == 0; });
  }

 private:
  std::mutex lock_;
  std::map<std::thread::id, Slot> slots_;
};

class RealBackend final : public Backend {
 public:
  RealBackend(std::string project, Runtime runtime, std::unique_ptr<Networks> networks)
      : project_(std::move(project)), runtime_(std::move(runtime)), networks_(std::move(networks)) {}

  Result<store::ContainerRecord> make(const ContainerSpec& spec, const std::optional<store::ContainerRecord>& old) override;
  Result<Traits> traits(const ContainerSpec& spec) override;
  Result<Started> start(const store::ContainerRecord& record, const ContainerSpec& spec, Streams streams) override;
  Result<> adopt(const store::ContainerRecord& record, const ContainerSpec& spec) override;
  Result<std::optional<pid_t>> find(const std::string& id) override;
  void cut_links(const std::vector<std::pair<store::ContainerRecord, ContainerSpec>>& containers) override {
    if (auto store = stores_.take()) networks_->cut_links(**store, containers);
  }
  Result<> release(const store::ContainerRecord& record, const ContainerSpec& spec) override;
  Result<> remove(const store::ContainerRecord& record, const ContainerSpec& spec, bool volumes) override;
  bool oom_killed(const store::ContainerRecord& record, const ContainerSpec& spec) override;
  Result<> freeze(const store::ContainerRecord& record, const ContainerSpec& spec, bool frozen) override;
  Result<Exec> exec(const store::ContainerRecord& record, const ContainerSpec& spec, const ExecRequest& request) override;
  Result<std::vector<Endpoint>> connect(const store::ContainerRecord& record, const ContainerSpec& spec,
                                        const NetworkAttachment& attachment) override;
  Result<std::vector<Endpoint>> disconnect(const store::ContainerRecord& record, const ContainerSpec& spec,
                                           const std::string& network) override;
  Result<> create_network(const NetworkSpec& spec) override;
  Result<> remove_network(const std::string& name) override;
  Result<> create_volume(const VolumeSpec& spec) override;
  Result<> remove_volume(const std::string& name) override;
  Result<> remove_image(const std::string& reference) override;
  void rest() override {
    stores_.close_unused();
    const std::lock_guard guard(images_lock_);
    images_.clear();
  }
  Result<> close(bool empty) override;

 private:
  Result<ImagePtr> image(const std::string& id);
  Result<std::map<std::string, ContainerInfo>> volumes_from(store::Store& store, const ContainerSpec& spec);
  Result<containers::Peer> peer(store::Store& store, const std::string& name);
  Result<containers::StartOptions> start_options(store::Store& store, const store::ContainerRecord& record, const ContainerSpec& spec,
                                                 const images::Image& image, const Attached& attached);
  Result<Started> run(const store::ContainerRecord& record, const ContainerSpec& spec, containers::Prepared prepared, Streams& streams);
  Result<> update_hosts(const store::ContainerRecord& record, const ContainerSpec& spec, const std::vector<Endpoint>& endpoints);
  [[nodiscard]] std::filesystem::path run_folder(const std::string& id) const { return paths::container_run(project_, id); }

  std::string project_;
  Runtime runtime_;
  std::unique_ptr<Networks> networks_;
  ThreadStores stores_;
  std::mutex images_lock_;
  std::map<std::string, ImagePtr> images_;
  std::atomic<unsigned> execs_ = 0;
};

Result<ImagePtr> RealBackend::image(const std::string& id) {
  {
    const std::lock_guard guard(images_lock_);
    if (const auto found = images_.find(id); found != images_.end()) return found->second;
  }
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(auto loaded, images::ImageStore(*store).by_id(id));
  auto shared = std::make_shared<const images::Image>(std::move(loaded));
  const std::lock_guard guard(images_lock_);
  images_[id] = shared;
  return ImagePtr(shared);
}

Result<std::map<std::string, ContainerInfo>> RealBackend::volumes_from(store::Store& store, const ContainerSpec& spec) {
  std::map<std::string, ContainerInfo> out;
  for (const auto& entry : spec.volumes_from) {
    std::string name = entry.substr(0, entry.find(':'));
    if (name == "container") name = entry.substr(10, entry.find(':', 10) - 10);
    const auto space = name.find(' ');
    if (space != std::string::npos) name = name.substr(space + 1);
    ASSIGN_OR_RETURN(const auto row, store.find_container(name));
    ASSIGN_OR_RETURN(auto info, store::to_info(row));
    out.emplace(name, std::move(info));
  }
  return out;
}

Result<store::ContainerRecord> RealBackend::make(const ContainerSpec& spec, const std::optional<store::ContainerRecord>& old) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  TRY(containers::validate(spec));
  ASSIGN_OR_RETURN(const auto img, image(spec.image_id));
  ASSIGN_OR_RETURN(const auto others, volumes_from(*store, spec));
  ASSIGN_OR_RETURN(const auto mounts, containers::all_mounts(spec, img->config, others));
  StringMap before;
  if (old) {
    ASSIGN_OR_RETURN(before, from_json<StringMap>(old->volumes_json));
  }
  store::ContainerRecord record;
  ASSIGN_OR_RETURN(record.id, random_id());
  record.project = spec.project;
  record.name = spec.name;
  record.image_id = spec.image_id;
  record.spec_json = to_json(spec);
  record.log_path = paths::container_log(record.id).string();
  record.created = store::now_ns();
  std::vector<std::string> made;  // anonymous volumes: nobody but this container could ever remove them
  const auto take_volumes = [&]() -> Result<> {
    StringMap volumes;
    for (const auto& mount : mounts) {
      if (mount.type != MountType::volume) continue;
      std::string& name = volumes[mount.target];
      name = mount.source;
      if (!name.empty()) {
        TRY(create_volume({.name = name, .project = spec.project}));
        continue;
      }
      if (const auto kept = before.find(mount.target); kept != before.end()) {
        ASSIGN_OR_RETURN(const auto row, store->volume(kept->second));
        if (row && row->anonymous) {
          name = kept->second;
          continue;
        }
      }
      ASSIGN_OR_RETURN(name, random_id());
      VolumeSpec anonymous{.name = name, .project = spec.project, .labels = mount.labels, .anonymous = true};
      anonymous.labels.emplace("com.docker.volume.anonymous", "");
      made.push_back(name);
      TRY(create_volume(anonymous));
    }
    record.volumes_json = to_json(volumes);
    // Whoever follows its log watches this folder from the container's first day on.
    return base::sys::make_directories(paths::container(record.id), 0711);
  };
  if (auto taken = take_volumes(); !taken) {
    for (const auto& name : made) {
      const auto removed = remove_volume(name);
      if (!removed) base::log::warning("backend", removed.error().text());
    }
    return std::move(taken).error();
  }
  return record;
}

Result<Traits> RealBackend::traits(const ContainerSpec& spec) {
  ASSIGN_OR_RETURN(const auto img, image(spec.image_id));
  Traits traits;
  ASSIGN_OR_RETURN(traits.command, containers::command_line(spec, img->config));
  ASSIGN_OR_RETURN(traits.stop_signal, containers::stop_signal(spec, img->config));
  traits.health = containers::health_spec(spec, img->config);
  return traits;
}

Result<containers::Peer> RealBackend::peer(store::Store& store, const std::string& name) {
  ASSIGN_OR_RETURN(const auto row, store.find_container(name));
  if (row.run.state != ContainerState::running || !store::process_runs(row.run))
    return make_error(ErrorKind::unavailable, "cannot join the namespaces of container " + row.name + ": it is not running");
  ASSIGN_OR_RETURN(const auto spec, from_json<ContainerSpec>(row.spec_json));
  return containers::Peer{row.run.pid, row.id, containers::hostname(spec, row.id)};
}

Result<containers::StartOptions> RealBackend::start_options(store::Store& store, const store::ContainerRecord& record,
                                                            const ContainerSpec& spec, const images::Image& image,
                                                            const Attached& attached) {
  containers::StartOptions options;
  options.id = record.id;
  ASSIGN_OR_RETURN(const auto others, volumes_from(store, spec));
  ASSIGN_OR_RETURN(options.mounts, containers::all_mounts(spec, image.config, others));
  ASSIGN_OR_RETURN(const auto names, from_json<StringMap>(record.volumes_json));
  for (auto& mount : options.mounts) {
    if (mount.type == MountType::image) {
      ASSIGN_OR_RETURN(const auto source, images::ImageStore(store).resolve(mount.source));
      options.image_mounts[mount.source] = source.layer_dirs;
    }
    if (mount.type != MountType::volume) continue;
    if (const auto named = names.find(mount.target); mount.source.empty() && named != names.end()) mount.source = named->second;
    ASSIGN_OR_RETURN(const auto row, store.volume(mount.source));
    if (!row) return make_error(ErrorKind::not_found, "volume " + mount.source + " not found");
    ASSIGN_OR_RETURN(auto volume, from_json<VolumeSpec>(row->spec_json));
    options.volumes.emplace(mount.source, std::move(volume));
  }
  for (const auto& mode : {spec.network_mode, spec.pid_mode, spec.ipc_mode}) {
    const auto name = peer_name(mode);
    if (name.empty()) continue;
    ASSIGN_OR_RETURN(options.peers[name], peer(store, name));
  }
  options.netns = attached.netns.borrow();
  options.endpoints = attached.endpoints;
  options.host_gateway = attached.host_gateway;
  options.dns_server = attached.dns;
  return options;
}

Result<Started> RealBackend::start(const store::ContainerRecord& record, const ContainerSpec& spec, Streams streams) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(const auto img, image(spec.image_id));
  const auto attempt = [&]() -> Result<Started> {
    Attached attached;
    if (const auto name = peer_name(spec.network_mode); !name.empty()) {
      ASSIGN_OR_RETURN(const auto other, peer(*store, name));
      ASSIGN_OR_RETURN(attached, Networks::join(other.pid));
    } else {
      ASSIGN_OR_RETURN(attached, networks_->attach(*store, record, spec));
    }
    ASSIGN_OR_RETURN(const auto options, start_options(*store, record, spec, *img, attached));
    ASSIGN_OR_RETURN(auto prepared, containers::prepare(spec, *img, options));
    ASSIGN_OR_RETURN(auto started, run(record, spec, std::move(prepared), streams));
    started.endpoints = std::move(attached.endpoints);
    started.ports = std::move(attached.ports);
    return started;
  };
  auto started = attempt();
  if (!started)
    if (auto released = release(record, spec); !released) base::log::warning("backend", record.name + ": " + released.error().text());
  return started;
}

Result<Started> RealBackend::run(const store::ContainerRecord& record, const ContainerSpec& spec, containers::Prepared prepared,
                                 Streams& streams) {
  const auto folder = run_folder(record.id);
  TRY(base::sys::make_directories(folder, 0700));
  const auto pid_file = folder / "pid";
  RuntimeCall call;
  call.words = {"run", "--detach", "--bundle", prepared.bundle.string(), "--pid-file", pid_file.string(),
                "--rootfs-fd", std::to_string(prepared.rootfs_number)};
  call.log = (folder / "runtime.log").string();
  if (spec.init) call.words.emplace_back("--init");
  UniqueFd console;
  const auto console_path = folder / "console.sock";
  if (prepared.tty) {
    ASSIGN_OR_RETURN(console, base::sys::listen_unix(console_path));
    call.words.insert(call.words.end(), {"--console-socket", console_path.string()});
  } else {
    if (streams.input.valid()) call.fds.emplace_back(streams.input.borrow(), STDIN_FILENO);
    call.fds.emplace_back(streams.output.borrow(), STDOUT_FILENO);
    call.fds.emplace_back(streams.error.borrow(), STDERR_FILENO);
  }
  for (const auto& passed : prepared.fds)
    call.fds.emplace_back(passed.fd.borrow(), passed.number);
  call.words.push_back(record.id);
  if (runtime_.knows(record.id)) TRY(runtime::oci::destroy(runtime_.root(), record.id, runtime::oci::Force::yes));
  (void)!base::sys::unlink(pid_file).has_value();
  if (auto done = runtime_.run(call); !done) {
    reap_failed(pid_file);
    return std::move(done).error();
  }

  Started started;
  ASSIGN_OR_RETURN(started.pid, read_pid(pid_file));
  ASSIGN_OR_RETURN(started.pidfd, base::sys::pidfd_open(started.pid));
  if (console.valid()) {
    ASSIGN_OR_RETURN(const long number, base::sys::wrap("accept", ::accept4(console.number(), nullptr, nullptr, SOCK_CLOEXEC)));
    const UniqueFd connection(static_cast<int>(number));
    ASSIGN_OR_RETURN(auto message, base::sys::recv_fds(connection.borrow()));
    if (message.fds.empty()) return make_error(ErrorKind::internal, "compose-runtime sent no terminal");
    started.terminal = std::move(message.fds.front());
    (void)!base::sys::unlink(console_path).has_value();
  }
  return started;
}

Result<> RealBackend::adopt(const store::ContainerRecord& record, const ContainerSpec& spec) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  if (!peer_name(spec.network_mode).empty() || spec.network_mode == "host") return {};
  return networks_->adopt(*store, record, spec);
}

Result<std::optional<pid_t>> RealBackend::find(const std::string& id) {
  if (!runtime_.knows(id)) return std::optional<pid_t>();
  const auto pid = read_pid(run_folder(id) / "pid");
  if (!pid || store::process_start(*pid) == 0) return std::optional<pid_t>();
  // A pid file of an earlier start may name a stranger: only a process in the container's cgroup is it.
  const auto cgroups = base::sys::read_file("/proc/" + std::to_string(*pid) + "/cgroup", 65536);
  if (!cgroups || cgroups->find(id) == std::string::npos) return std::optional<pid_t>();
  return std::optional(*pid);
}

Result<> RealBackend::release(const store::ContainerRecord& record, const ContainerSpec& spec) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  Result<> destroyed;
  if (runtime_.knows(record.id)) destroyed = runtime::oci::destroy(runtime_.root(), record.id, runtime::oci::Force::yes);
  Result<> released;
  if (peer_name(spec.network_mode).empty() && spec.network_mode != "host") released = networks_->release(*store, record, spec);
  return destroyed ? std::move(released) : std::move(destroyed);
}

Result<> RealBackend::remove(const store::ContainerRecord& record, const ContainerSpec& spec, bool volumes) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  if (runtime_.knows(record.id)) TRY(release(record, spec));
  TRY(base::sys::remove_tree(run_folder(record.id)));
  TRY(containers::remove_files(record.id));
  if (!volumes) return {};
  ASSIGN_OR_RETURN(const auto names, from_json<StringMap>(record.volumes_json));
  for (const auto& [target, name] : names) {
    ASSIGN_OR_RETURN(const auto row, store->volume(name));
    if (row && row->anonymous) TRY(remove_volume(name));
  }
  return {};
}

bool RealBackend::oom_killed(const store::ContainerRecord& record, const ContainerSpec& spec) {
  const std::string group = containers::cgroup_path(spec, record.id);
  for (const char* file : {"/sys/fs/cgroup/memory/%/memory.oom_control", "/sys/fs/cgroup/%/memory.events"}) {
    std::string path = file;
    path.replace(path.find("/%"), 2, group);
    const auto text = base::sys::read_file(path, 4096);
    if (!text) continue;
    const std::size_t at = text->find("oom_kill ");
    if (at != std::string::npos && at + 9 < text->size() && (*text)[at + 9] != '0') return true;
  }
  return false;
}

Result<> RealBackend::freeze(const store::ContainerRecord& record, const ContainerSpec&, bool frozen) {
  return runtime_.run({.words = {frozen ? "pause" : "resume", record.id}, .log = (run_folder(record.id) / "runtime.log").string()});
}

Result<Exec> RealBackend::exec(const store::ContainerRecord& record, const ContainerSpec&, const ExecRequest& request) {
  ASSIGN_OR_RETURN(const auto root, base::sys::open("/proc/" + std::to_string(record.run.pid) + "/root", O_PATH | O_DIRECTORY));
  containers::ExecOptions options;
  options.command = request.command;
  options.user = request.user;
  options.working_dir = request.working_dir;
  options.env = request.env;
  options.privileged = request.privileged;
  ASSIGN_OR_RETURN(const auto json, containers::exec_process(record.id, root.borrow(), options));
  ASSIGN_OR_RETURN(const auto process, base::sys::memfd_create("process.json", 0));
  TRY(base::sys::write_all(process.borrow(), json));
  ASSIGN_OR_RETURN(auto pipe, base::sys::pipe());
  // Only our end does not block: the command's would with its own description's flags changed.
  TRY(base::sys::wrap("fcntl", ::fcntl(pipe.first.number(), F_SETFL, O_NONBLOCK)));
  const auto base = run_folder(record.id) / ("exec" + std::to_string(execs_++));
  const std::string pid_file = base.string() + ".pid", log = base.string() + ".log";
  auto done = runtime_.run({.words = {"exec", "--process", "/proc/self/fd/3", "--detach", "--pid-file", pid_file, record.id},
                            .fds = {{pipe.second.borrow(), STDOUT_FILENO}, {pipe.second.borrow(), STDERR_FILENO}, {process.borrow(), 3}},
                            .log = log});
  if (!done) reap_failed(pid_file);
  auto pid = done ? read_pid(pid_file) : Result<pid_t>(done.error());
  (void)!base::sys::unlink(pid_file).has_value();
  (void)!base::sys::unlink(log).has_value();
  if (!pid) return std::move(pid).error();
  ASSIGN_OR_RETURN(auto pidfd, base::sys::pidfd_open(*pid));
  return Exec{base::ChildProcess::adopt(*pid, std::move(pidfd)), std::move(pipe.first)};
}

Result<> RealBackend::update_hosts(const store::ContainerRecord& record, const ContainerSpec& spec, const std::vector<Endpoint>& endpoints) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(const auto gateway, networks_->host_gateway(*store, spec));
  return containers::update_hosts(spec, record.id, endpoints, gateway);
}

Result<std::vector<Endpoint>> RealBackend::connect(const store::ContainerRecord& record, const ContainerSpec& spec,
                                                   const NetworkAttachment& attachment) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(auto endpoints, networks_->connect(*store, record, spec, attachment));
  TRY(update_hosts(record, spec, endpoints));
  return endpoints;
}

Result<std::vector<Endpoint>> RealBackend::disconnect(const store::ContainerRecord& record, const ContainerSpec& spec,
                                                      const std::string& network) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(auto endpoints, networks_->disconnect(*store, record, spec, network));
  TRY(update_hosts(record, spec, endpoints));
  return endpoints;
}

Result<> RealBackend::create_network(const NetworkSpec& spec) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  return networks_->create(*store, spec);
}

Result<> RealBackend::remove_network(const std::string& name) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  return networks_->remove(*store, name);
}

Result<> RealBackend::create_volume(const VolumeSpec& spec) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(const auto existing, store->volume(spec.name));
  if (!existing) {
    if (spec.driver != "local" && !spec.driver.empty())
      return make_error(ErrorKind::unsupported, "volume " + spec.name + ": volume driver \"" + spec.driver + "\" is not supported");
    TRY(volumes::check(spec.driver_opts));
    store::VolumeRecord record{.name = spec.name, .project = spec.project, .spec_json = to_json(spec),
                               .mountpoint = paths::volume(spec.name).string(), .anonymous = spec.anonymous, .created = store::now_ns()};
    auto inserted = store->insert_volume(record);
    if (!inserted && inserted.error().kind != ErrorKind::exists) return inserted;
  }
  ASSIGN_OR_RETURN(const auto row, store->volume(spec.name));
  ASSIGN_OR_RETURN(const auto stored, row ? from_json<VolumeSpec>(row->spec_json) : Result<VolumeSpec>(spec));
  return volumes::create({paths::volume(spec.name), stored.driver_opts});
}

Result<> RealBackend::remove_volume(const std::string& name) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  ASSIGN_OR_RETURN(const auto row, store->volume(name));
  if (!row) return {};
  ASSIGN_OR_RETURN(const auto rows, store->containers());
  for (const auto& container : rows) {
    ASSIGN_OR_RETURN(const auto used, from_json<StringMap>(container.volumes_json));
    for (const auto& [target, volume] : used)
      if (volume == name && !container.run.engine_json.starts_with("removing"))
        return make_error(ErrorKind::exists, "volume " + name + " is in use by container " + container.name);
  }
  ASSIGN_OR_RETURN(const auto spec, from_json<VolumeSpec>(row->spec_json));
  TRY(volumes::remove({paths::volume(name), spec.driver_opts}));
  return store->remove_volume(name);
}

Result<> RealBackend::remove_image(const std::string& reference) {
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  images::ImageStore images(*store);
  auto removed = images.remove(reference, {});
  if (!removed && removed.error().kind != ErrorKind::not_found && removed.error().kind != ErrorKind::exists)
    return std::move(removed).error();
  return {};
}

Result<> RealBackend::close(bool empty) {
  if (!empty) return {};
  // The project's subtree in every hierarchy, and ours above it when it was the last; rmdir refuses what is in use.
  std::error_code failed;
  std::vector<std::filesystem::path> hierarchies{"/sys/fs/cgroup"};
  for (auto it = std::filesystem::directory_iterator("/sys/fs/cgroup", failed); !failed && it != std::filesystem::directory_iterator();
       it.increment(failed))
    if (it->is_directory(failed) && !it->is_symlink(failed)) hierarchies.push_back(it->path());
  for (const auto& hierarchy : hierarchies) {
    const std::filesystem::path group = hierarchy.string() + containers::project_cgroup(project_);
    (void)::rmdir(group.c_str());
    (void)::rmdir(group.parent_path().c_str());
  }
  (void)::rmdir(paths::runtime_root().c_str());
  ASSIGN_OR_RETURN(const auto store, stores_.take());
  // Without the list of what is recorded only the folders have to wait for the next end.
  if (const auto recorded = store->container_ids()) containers::sweep_files(*recorded, half_made_limit);
  return networks_->close(*store);
}

}  // namespace

Result<std::unique_ptr<Backend>> open_backend(boost::asio::io_context& io, const std::string& project) {
  ASSIGN_OR_RETURN(auto runtime, Runtime::open());
  ASSIGN_OR_RETURN(auto networks, Networks::open(io, project));
  return std::unique_ptr<Backend>(std::make_unique<RealBackend>(project, std::move(runtime), std::move(networks)));
}

}  // namespace engine::supervisor
