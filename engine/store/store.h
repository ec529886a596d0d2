#pragma once
// What outlives a reboot, in one SQLite file (WAL) that every process of ours shares. Transactions replace lock files.
// What *runs* is asked of the kernel; the run fields here only say where to look (pid, its start time, its boot).
//
// A Store is used by one thread at a time; opening another takes well under a millisecond. Every call is atomic by
// itself; several calls are made atomic by a Transaction. Errors of every method:
//   unavailable  another process held the database longer than the busy timeout (10 s)
//   exhausted    no space left on the disk; nothing was changed
//   io           the file cannot be read or written, or is damaged (the text says what to do)
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "engine/api/types.h"

namespace engine::store {

using base::Result;

/// How a container was last seen. Written by its supervisor.
struct RunState {
  ContainerState state = ContainerState::created;
  pid_t pid = 0;                     ///< init in the host's pid namespace; 0 when not running
  std::uint64_t pid_start = 0;       ///< field 22 of /proc/PID/stat: tells a reused pid number apart
  std::string boot_id;               ///< /proc/sys/kernel/random/boot_id of that pid
  WallNs started = 0, finished = 0;
  std::optional<int> exit_code;      ///< absent: never ran, runs, or ended unseen
  bool oom_killed = false;
  bool stopped_by_user = false;
  int restart_count = 0;
  std::string error;                 ///< why the last start failed
  HealthState health = HealthState::none;
  std::string health_log_json;       ///< the codecs' text; "" = none
  std::string endpoints_json, ports_json, command_json;
  std::string engine_json;           ///< the supervisor's own notes, opaque here
};

struct ContainerRecord {
  std::string id;                    ///< 64 hex digits
  std::string project, name, image_id;
  std::string spec_json;
  std::string volumes_json;          ///< target → volume name
  std::string log_path;
  WallNs created = 0;
  RunState run;
};

struct NetworkRecord {
  std::string id, name, project;
  std::string spec_json;
  std::string subnets_json;          ///< as allocated
  int uplink_index = -1;             ///< unique on the machine; -1 = no uplink
  std::string uplink_json;           ///< addresses and names of the uplink, opaque here
  WallNs created = 0;
};

struct Lease {
  std::string network, address, container_id;  ///< address without prefix length
};

struct VolumeRecord {
  std::string name, project;
  std::string spec_json;
  std::string mountpoint;
  bool anonymous = false;
  WallNs created = 0;
};

struct ImageRecord {
  std::string id;                    ///< "sha256:…" of the config's bytes
  std::string manifest_digest;       ///< "" for images made here and never pushed
  std::string platform;              ///< "linux/amd64", "linux/arm64/v8"
  std::string config_json;           ///< exact bytes
  std::vector<std::string> chain_ids;  ///< bottom → top
  std::int64_t size_bytes = 0;       ///< unpacked
  WallNs created = 0;                ///< the config's
  WallNs added = 0;                  ///< when it came here
};

/// A name of an image: "docker.io/library/nginx:alpine" or "docker.io/library/nginx@sha256:…". Always normalised.
struct ReferenceRecord {
  std::string reference, image_id;
  std::string digest;                ///< manifest or index digest the registry served under this name; "" = local
  WallNs updated = 0;                ///< last pull or tag: pull_policy daily/weekly count from here
};

struct LayerRecord {
  std::string chain_id, parent_chain_id, diff_id;  ///< all "sha256:…"; parent "" for the lowest
  std::string blob_digest, blob_media_type;        ///< compressed form; "" when only the unpacked one exists
  std::int64_t blob_bytes = 0;
  std::int64_t size_bytes = 0;       ///< unpacked
  WallNs created = 0;
  std::string boot_id;               ///< "" = safely on the disk; else written during that boot and not yet synced: after a
                                     ///< power cut such a layer may be torn, and counts as missing
};

struct CacheRecord {
  std::string key;                   ///< content key of a build step
  std::string chain_id;              ///< layer it made; "" = only the config changed
  std::string value_json;            ///< the builder's own
  WallNs created = 0, used = 0;
  std::int64_t use_count = 0;
};

struct GenerationRecord {
  std::string project;
  int number = 0;                    ///< 1, 2, 3 … in a project
  WallNs created = 0;
  std::string json;
};

class Database;

/// Rolls back when destroyed before commit(). Nested ones are savepoints.
class Transaction {
 public:
  Transaction(Transaction&& other) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  Result<> commit();

 private:
  friend class Store;
  Transaction(Database* db, int depth) : db_(db), depth_(depth) {}
  Database* db_ = nullptr;
  int depth_ = 0;
};

class Store {
 public:
  /// Opens or creates the database and its folder (0711; the file 0600). Migrates an older schema.
  /// Errors beside the common ones: unsupported (written by a newer version), permission, not_found.
  static Result<Store> open(const std::filesystem::path& path);
  /// open(paths::database())
  static Result<Store> open();
  Store(Store&&) noexcept;
  Store& operator=(Store&&) noexcept;
  ~Store();

  /// Gives back pages and statements kept for the next call.
  void release_memory();
  /// For the last one to leave: whoever opens the store next, with nobody having it open, reads the whole log first. Empties it when it
  /// has grown past what is read in no time; waits for the disk then, never for another process.
  Result<> tidy();

  /// Takes the write lock at once (BEGIN IMMEDIATE): reads that follow are true until the commit.
  Result<Transaction> begin();
  /// Changes whenever another process committed something: a cheap poll for caches.
  Result<std::int64_t> data_version();

  // Containers. Names are unique on the machine.
  /// Error exists: the id or the name is taken.
  Result<> insert_container(const ContainerRecord& record);
  /// Replaces everything but the id. Error not_found; exists (name).
  Result<> update_container(const ContainerRecord& record);
  /// Replaces the run state alone. Error not_found.
  Result<> update_run(const std::string& id, const RunState& run);
  Result<> rename_container(const std::string& id, const std::string& name);
  /// With its leases; missing is success.
  Result<> remove_container(const std::string& id);
  Result<std::optional<ContainerRecord>> container(const std::string& id);
  Result<std::optional<ContainerRecord>> container_by_name(const std::string& name);
  /// By name, full id or an unambiguous id prefix. Errors: not_found; invalid when several match.
  Result<ContainerRecord> find_container(const std::string& name_or_prefix);
  /// Of one project, or all; ordered by name.
  Result<std::vector<ContainerRecord>> containers(const std::optional<std::string>& project = std::nullopt);
  /// Of every project.
  Result<std::set<std::string>> container_ids();

  // Networks.
  Result<> insert_network(const NetworkRecord& record);   ///< exists: name or uplink index is taken
  Result<> update_network(const NetworkRecord& record);   ///< by name; not_found
  Result<> remove_network(const std::string& name);       ///< with its leases; missing is success
  Result<std::optional<NetworkRecord>> network(const std::string& name);
  Result<std::vector<NetworkRecord>> networks(const std::optional<std::string>& project = std::nullopt);
  /// The smallest index no network has; race-free only inside a Transaction.
  Result<int> free_uplink_index();

  // Addresses in networks. An address of a network has one holder.
  Result<> lease(const Lease& lease);                     ///< exists: somebody else holds it (holding it again is fine)
  Result<> release(const std::string& network, const std::string& container_id);
  Result<> release_all(const std::string& container_id);
  Result<std::vector<Lease>> leases(const std::string& network);

  // Volumes.
  Result<> insert_volume(const VolumeRecord& record);     ///< exists
  Result<> update_volume(const VolumeRecord& record);     ///< not_found
  Result<> remove_volume(const std::string& name);        ///< missing is success
  Result<std::optional<VolumeRecord>> volume(const std::string& name);
  Result<std::vector<VolumeRecord>> volumes(const std::optional<std::string>& project = std::nullopt);

  // Images. engine/images has the readable interface; these are its rows.
  Result<> put_image(const ImageRecord& record);          ///< layers must be there; replaces the same id
  Result<> remove_image(const std::string& id);           ///< with its references
  Result<std::optional<ImageRecord>> image(const std::string& id);
  Result<std::vector<ImageRecord>> images();
  /// Ids that begin with "sha256:"+hex; at most two are returned.
  Result<std::vector<std::string>> image_ids_with_prefix(const std::string& hex);
  Result<> put_reference(const ReferenceRecord& record);  ///< moves the name when another image has it
  Result<> remove_reference(const std::string& reference);
  Result<std::optional<ReferenceRecord>> reference(const std::string& reference);
  Result<std::vector<ReferenceRecord>> references(const std::optional<std::string>& image_id = std::nullopt);
  Result<> put_layer(const LayerRecord& record);          ///< replaces
  Result<> remove_layer(const std::string& chain_id);
  /// After a syncfs that began at `before`: layers recorded in this boot until then are safe now.
  Result<> settle_layers(const std::string& boot, WallNs before);
  Result<std::optional<LayerRecord>> layer(const std::string& chain_id);
  Result<std::vector<LayerRecord>> layers();
  /// Layers no image and no build cache entry needs, upper ones first.
  Result<std::vector<LayerRecord>> unused_layers();
  /// Containers (ids) made from an image.
  Result<std::vector<std::string>> containers_of_image(const std::string& image_id);

  // Build cache.
  Result<std::optional<CacheRecord>> cache_entry(const std::string& key);  ///< counts as a use
  Result<> put_cache_entry(const CacheRecord& record);
  Result<> remove_cache_entry(const std::string& key);
  Result<std::vector<CacheRecord>> cache_entries();       ///< least recently used first

  // Generations: what every successful `up` left behind.
  /// Numbers it; returns the number. Keeps the newest 50 of a project.
  Result<int> add_generation(const std::string& project, WallNs created, const std::string& json);
  Result<std::vector<GenerationRecord>> generations(const std::string& project);  ///< newest first
  Result<std::optional<GenerationRecord>> generation(const std::string& project, int number);
  Result<> remove_generations(const std::string& project);
  /// Projects that have containers, networks or generations, by name.
  Result<std::vector<std::string>> projects();

 private:
  explicit Store(std::unique_ptr<Database> db);
  std::unique_ptr<Database> db_;
};

/// Wall clock now.
WallNs now_ns();
/// This boot's id (read once).
const std::string& boot_id();

}  // namespace engine::store
