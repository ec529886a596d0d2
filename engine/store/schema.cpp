// The schema, one step per version. A released step is never edited: a change is a new step.
#include <poll.h>

#include <array>
#include <chrono>

#include "engine/store/database.h"

namespace engine::store {

namespace {

constexpr const char* version_1 = R"sql(
CREATE TABLE containers(
  id TEXT PRIMARY KEY, project TEXT NOT NULL, name TEXT NOT NULL UNIQUE, image_id TEXT NOT NULL,
  spec TEXT NOT NULL, volumes TEXT NOT NULL, log_path TEXT NOT NULL, created INTEGER NOT NULL,
  state INTEGER NOT NULL, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL, boot_id TEXT NOT NULL,
  started INTEGER NOT NULL, finished INTEGER NOT NULL, exit_code INTEGER, oom INTEGER NOT NULL,
  stopped_by_user INTEGER NOT NULL, restart_count INTEGER NOT NULL, error TEXT NOT NULL,
  health INTEGER NOT NULL, health_log TEXT NOT NULL, endpoints TEXT NOT NULL, ports TEXT NOT NULL,
  command TEXT NOT NULL, engine TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX containers_project ON containers(project);
CREATE INDEX containers_image ON containers(image_id);
CREATE TABLE networks(
  name TEXT PRIMARY KEY, id TEXT NOT NULL UNIQUE, project TEXT NOT NULL, spec TEXT NOT NULL,
  subnets TEXT NOT NULL, uplink_index INTEGER NOT NULL, uplink TEXT NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE UNIQUE INDEX networks_uplink ON networks(uplink_index) WHERE uplink_index >= 0;
CREATE TABLE leases(
  network TEXT NOT NULL, address TEXT NOT NULL, container TEXT NOT NULL,
  PRIMARY KEY(network, address)) WITHOUT ROWID;
CREATE INDEX leases_container ON leases(container);
CREATE TABLE volumes(
  name TEXT PRIMARY KEY, project TEXT NOT NULL, spec TEXT NOT NULL, mountpoint TEXT NOT NULL,
  anonymous INTEGER NOT NULL, created INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE layers(
  chain_id TEXT PRIMARY KEY, parent TEXT NOT NULL, diff_id TEXT NOT NULL, blob_digest TEXT NOT NULL,
  blob_media_type TEXT NOT NULL, blob_bytes INTEGER NOT NULL, size INTEGER NOT NULL, created INTEGER NOT NULL,
  boot_id TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE images(
  id TEXT PRIMARY KEY, manifest_digest TEXT NOT NULL, platform TEXT NOT NULL, config BLOB NOT NULL,
  size INTEGER NOT NULL, created INTEGER NOT NULL, added INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE image_layers(
  image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE, position INTEGER NOT NULL,
  chain_id TEXT NOT NULL REFERENCES layers(chain_id), PRIMARY KEY(image_id, position)) WITHOUT ROWID;
CREATE INDEX image_layers_chain ON image_layers(chain_id);
CREATE TABLE image_references(
  reference TEXT PRIMARY KEY, image_id TEXT NOT NULL REFERENCES images(id) ON DELETE CASCADE,
  digest TEXT NOT NULL, updated INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX image_references_image ON image_references(image_id);
CREATE TABLE build_cache(
  key TEXT PRIMARY KEY, chain_id TEXT NOT NULL, value TEXT NOT NULL, created INTEGER NOT NULL,
  used INTEGER NOT NULL, use_count INTEGER NOT NULL) WITHOUT ROWID;
CREATE INDEX build_cache_chain ON build_cache(chain_id);
CREATE TABLE generations(
  project TEXT NOT NULL, number INTEGER NOT NULL, created INTEGER NOT NULL, json TEXT NOT NULL,
  PRIMARY KEY(project, number)) WITHOUT ROWID;
)sql";

constexpr std::array steps{version_1};

constexpr int wal_pause_ms = 5;
constexpr std::chrono::seconds wal_limit{10};  // as long as the busy handler waits

Result<int> user_version(Database& db) {
  ASSIGN_OR_RETURN(auto query, db.query("PRAGMA user_version"));
  ASSIGN_OR_RETURN(const bool row, query.step());
  return row ? query.integer(0) : 0;
}

/// Set once: the file remembers it. Readers then never block writers. While others open the same new file SQLite gives up at once,
/// without the busy handler; by the next try they are through.
Result<> use_wal(Database& db) {
  const auto deadline = std::chrono::steady_clock::now() + wal_limit;
  for (;;) {
    auto set = db.execute("PRAGMA journal_mode=WAL");
    if (set || set.error().kind != base::ErrorKind::unavailable || std::chrono::steady_clock::now() >= deadline) return set;
    (void)::poll(nullptr, 0, wal_pause_ms);
  }
}
}  // namespace

Result<> migrate(Database& db) {
  constexpr int newest = static_cast<int>(steps.size());
  ASSIGN_OR_RETURN(int version, user_version(db));
  if (version == newest) return {};
  if (version == 0) TRY(use_wal(db));
  TRY(db.execute("BEGIN IMMEDIATE"));
  auto result = [&]() -> Result<> {
    ASSIGN_OR_RETURN(version, user_version(db));  // another process may have been first
    if (version > newest)
      return base::make_error(base::ErrorKind::unsupported,
                              "state database was written by a newer version of compose (schema " +
                                  std::to_string(version) + ", this one knows " + std::to_string(newest) + ")");
    for (int i = version; i < newest; ++i) TRY(db.execute(steps.at(static_cast<std::size_t>(i))));
    return db.execute("PRAGMA user_version=" + std::to_string(newest) + "; COMMIT");
  }();
  if (!result) (void)db.execute("ROLLBACK");
  return result;
}

}  // namespace engine::store
