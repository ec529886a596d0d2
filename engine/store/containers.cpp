// Rows of containers.
#include "engine/store/database.h"
#include "engine/store/store.h"

namespace engine::store {

namespace {

constexpr const char* columns_of_run =
    "state=?,pid=?,pid_start=?,boot_id=?,started=?,finished=?,exit_code=?,oom=?,stopped_by_user=?,restart_count=?,"
    "error=?,health=?,health_log=?,endpoints=?,ports=?,command=?,engine=?";

void bind_run(Query& query, const RunState& run) {
  query.bind(static_cast<int>(run.state)).bind(std::int64_t{run.pid}).bind(static_cast<std::int64_t>(run.pid_start));
  query.bind(run.boot_id).bind(run.started).bind(run.finished).bind(run.exit_code).bind(run.oom_killed);
  query.bind(run.stopped_by_user).bind(run.restart_count).bind(run.error).bind(static_cast<int>(run.health));
  query.bind(run.health_log_json).bind(run.endpoints_json).bind(run.ports_json).bind(run.command_json);
  query.bind(run.engine_json);
}

void bind_fixed(Query& query, const ContainerRecord& record) {
  query.bind(record.project).bind(record.name).bind(record.image_id).bind(record.spec_json);
  query.bind(record.volumes_json).bind(record.log_path).bind(record.created);
}

ContainerRecord row(const Query& query) {
  ContainerRecord record{.id = query.text(0), .project = query.text(1), .name = query.text(2), .image_id = query.text(3),
                         .spec_json = query.text(4), .volumes_json = query.text(5), .log_path = query.text(6),
                         .created = query.number(7), .run = {}};
  auto& run = record.run;
  run.state = static_cast<ContainerState>(query.integer(8));
  run.pid = static_cast<pid_t>(query.integer(9));
  run.pid_start = static_cast<std::uint64_t>(query.number(10));
  run.boot_id = query.text(11);
  run.started = query.number(12);
  run.finished = query.number(13);
  run.exit_code = query.optional_integer(14);
  run.oom_killed = query.flag(15);
  run.stopped_by_user = query.flag(16);
  run.restart_count = query.integer(17);
  run.error = query.text(18);
  run.health = static_cast<HealthState>(query.integer(19));
  run.health_log_json = query.text(20);
  run.endpoints_json = query.text(21);
  run.ports_json = query.text(22);
  run.command_json = query.text(23);
  run.engine_json = query.text(24);
  return record;
}

Result<std::vector<ContainerRecord>> rows(Query& query) {
  std::vector<ContainerRecord> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, query.step());
    if (!more) return all;
    all.push_back(row(query));
  }
}

Result<std::optional<ContainerRecord>> first(Query& query) {
  ASSIGN_OR_RETURN(const bool more, query.step());
  if (!more) return std::optional<ContainerRecord>();
  return std::optional(row(query));
}

base::Error missing(const std::string& id) {
  return base::make_error(base::ErrorKind::not_found, "no such container: " + id);
}

/// The unique constraint in the user's words.
base::Error named(base::Error error, const std::string& name) {
  if (error.kind == base::ErrorKind::exists) error.message = "container name '" + name + "' is already in use";
  return error;
}

}  // namespace

Result<> Store::insert_container(const ContainerRecord& record) {
  ASSIGN_OR_RETURN(auto query,
                   db_->query("INSERT INTO containers VALUES(?,?,?,?,?,?,?,?, ?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"));
  query.bind(record.id);
  bind_fixed(query, record);
  bind_run(query, record.run);
  if (auto done = query.run(); !done) return named(std::move(done).error(), record.name);
  return {};
}

Result<> Store::update_container(const ContainerRecord& record) {
  static const std::string sql =
      std::string("UPDATE containers SET project=?,name=?,image_id=?,spec=?,volumes=?,log_path=?,created=?,") +
      columns_of_run + " WHERE id=?";
  ASSIGN_OR_RETURN(auto query, db_->query(sql.c_str()));
  bind_fixed(query, record);
  bind_run(query, record.run);
  auto changed = query.bind(record.id).run();
  if (!changed) return named(std::move(changed).error(), record.name);
  if (*changed == 0) return missing(record.id);
  return {};
}

Result<> Store::update_run(const std::string& id, const RunState& run) {
  static const std::string sql = std::string("UPDATE containers SET ") + columns_of_run + " WHERE id=?";
  ASSIGN_OR_RETURN(auto query, db_->query(sql.c_str()));
  bind_run(query, run);
  ASSIGN_OR_RETURN(const int changed, query.bind(id).run());
  if (changed == 0) return missing(id);
  return {};
}

Result<> Store::rename_container(const std::string& id, const std::string& name) {
  ASSIGN_OR_RETURN(auto query, db_->query("UPDATE containers SET name=? WHERE id=?"));
  auto changed = query.bind(name).bind(id).run();
  if (!changed) return named(std::move(changed).error(), name);
  if (*changed == 0) return missing(id);
  return {};
}

Result<> Store::remove_container(const std::string& id) {
  ASSIGN_OR_RETURN(auto transaction, begin());
  TRY(release_all(id));
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM containers WHERE id=?"));
  TRY(query.bind(id).run());
  return transaction.commit();
}

Result<std::optional<ContainerRecord>> Store::container(const std::string& id) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM containers WHERE id=?"));
  return first(query.bind(id));
}

Result<std::optional<ContainerRecord>> Store::container_by_name(const std::string& name) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM containers WHERE name=?"));
  return first(query.bind(name));
}

Result<ContainerRecord> Store::find_container(const std::string& name_or_prefix) {
  ASSIGN_OR_RETURN(auto named_so, container_by_name(name_or_prefix));
  if (named_so) return *std::move(named_so);
  const bool hex = !name_or_prefix.empty() &&
                   name_or_prefix.find_first_not_of("0123456789abcdef") == std::string::npos;
  if (!hex) return missing(name_or_prefix);
  // Ids are lower-case hex, so "prefix" … "prefix" + 'g' is the range of ids that begin with it.
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM containers WHERE id>=? AND id<? LIMIT 2"));
  const auto end = name_or_prefix + "g";
  ASSIGN_OR_RETURN(auto found, rows(query.bind(name_or_prefix).bind(end)));
  if (found.empty()) return missing(name_or_prefix);
  if (found.size() > 1)
    return base::make_error(base::ErrorKind::invalid, "container id prefix '" + name_or_prefix + "' is ambiguous");
  return std::move(found.front());
}

Result<std::vector<ContainerRecord>> Store::containers(const std::optional<std::string>& project) {
  if (!project) {
    ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM containers ORDER BY name"));
    return rows(query);
  }
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM containers WHERE project=? ORDER BY name"));
  return rows(query.bind(*project));
}

Result<std::set<std::string>> Store::container_ids() {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT id FROM containers"));
  std::set<std::string> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, query.step());
    if (!more) return all;
    all.insert(query.text(0));
  }
}

Result<std::vector<std::string>> Store::containers_of_image(const std::string& image_id) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT id FROM containers WHERE image_id=? ORDER BY id"));
  query.bind(image_id);
  std::vector<std::string> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, query.step());
    if (!more) return all;
    all.push_back(query.text(0));
  }
}

}  // namespace engine::store
