// Rows of networks, address leases and volumes.
#include "engine/store/database.h"
#include "engine/store/store.h"

namespace engine::store {

namespace {

using base::ErrorKind;

NetworkRecord network_row(const Query& query) {
  return {.id = query.text(1), .name = query.text(0), .project = query.text(2), .spec_json = query.text(3),
          .subnets_json = query.text(4), .uplink_index = query.integer(5), .uplink_json = query.text(6),
          .created = query.number(7)};
}

VolumeRecord volume_row(const Query& query) {
  return {.name = query.text(0), .project = query.text(1), .spec_json = query.text(2), .mountpoint = query.text(3),
          .anonymous = query.flag(4), .created = query.number(5)};
}

template <class Row>
auto rows(Query& query, Row row) -> Result<std::vector<decltype(row(query))>> {
  std::vector<decltype(row(query))> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, query.step());
    if (!more) return all;
    all.push_back(row(query));
  }
}

template <class Row>
auto first(Query& query, Row row) -> Result<std::optional<decltype(row(query))>> {
  using Record = decltype(row(query));
  ASSIGN_OR_RETURN(const bool more, query.step());
  if (!more) return std::optional<Record>();
  return std::optional<Record>(row(query));
}

}  // namespace

Result<> Store::insert_network(const NetworkRecord& record) {
  ASSIGN_OR_RETURN(auto query, db_->query("INSERT INTO networks VALUES(?,?,?,?,?,?,?,?)"));
  query.bind(record.name).bind(record.id).bind(record.project).bind(record.spec_json).bind(record.subnets_json);
  auto done = query.bind(record.uplink_index).bind(record.uplink_json).bind(record.created).run();
  if (!done) {
    auto error = std::move(done).error();
    if (error.kind == ErrorKind::exists) error.message = "network '" + record.name + "' or its uplink already exists";
    return error;
  }
  return {};
}

Result<> Store::update_network(const NetworkRecord& record) {
  ASSIGN_OR_RETURN(auto query, db_->query("UPDATE networks SET id=?,project=?,spec=?,subnets=?,uplink_index=?,uplink=?,"
                                          "created=? WHERE name=?"));
  query.bind(record.id).bind(record.project).bind(record.spec_json).bind(record.subnets_json);
  query.bind(record.uplink_index).bind(record.uplink_json).bind(record.created);
  ASSIGN_OR_RETURN(const int changed, query.bind(record.name).run());
  if (changed == 0) return base::make_error(ErrorKind::not_found, "no such network: " + record.name);
  return {};
}

Result<> Store::remove_network(const std::string& name) {
  ASSIGN_OR_RETURN(auto transaction, begin());
  ASSIGN_OR_RETURN(auto leases, db_->query("DELETE FROM leases WHERE network=?"));
  TRY(leases.bind(name).run());
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM networks WHERE name=?"));
  TRY(query.bind(name).run());
  return transaction.commit();
}

Result<std::optional<NetworkRecord>> Store::network(const std::string& name) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM networks WHERE name=?"));
  return first(query.bind(name), network_row);
}

Result<std::vector<NetworkRecord>> Store::networks(const std::optional<std::string>& project) {
  if (!project) {
    ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM networks ORDER BY name"));
    return rows(query, network_row);
  }
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM networks WHERE project=? ORDER BY name"));
  return rows(query.bind(*project), network_row);
}

Result<int> Store::free_uplink_index() {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT uplink_index FROM networks WHERE uplink_index>=0 ORDER BY uplink_index"));
  int next = 0;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, query.step());
    if (!more || query.integer(0) != next) return next;
    ++next;
  }
}

Result<> Store::lease(const Lease& lease) {
  ASSIGN_OR_RETURN(auto transaction, begin());
  ASSIGN_OR_RETURN(auto insert, db_->query("INSERT OR IGNORE INTO leases VALUES(?,?,?)"));
  TRY(insert.bind(lease.network).bind(lease.address).bind(lease.container_id).run());
  ASSIGN_OR_RETURN(auto holder, db_->query("SELECT container FROM leases WHERE network=? AND address=?"));
  ASSIGN_OR_RETURN(const bool row, holder.bind(lease.network).bind(lease.address).step());
  if (!row || holder.text(0) != lease.container_id)
    return base::make_error(ErrorKind::exists, "address " + lease.address + " of network " + lease.network +
                                                   " is already in use");
  return transaction.commit();
}

Result<> Store::release(const std::string& network, const std::string& container_id) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM leases WHERE network=? AND container=?"));
  TRY(query.bind(network).bind(container_id).run());
  return {};
}

Result<> Store::release_all(const std::string& container_id) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM leases WHERE container=?"));
  TRY(query.bind(container_id).run());
  return {};
}

Result<std::vector<Lease>> Store::leases(const std::string& network) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM leases WHERE network=?"));
  return rows(query.bind(network), [](const Query& row) {
    return Lease{.network = row.text(0), .address = row.text(1), .container_id = row.text(2)};
  });
}

Result<> Store::insert_volume(const VolumeRecord& record) {
  ASSIGN_OR_RETURN(auto query, db_->query("INSERT INTO volumes VALUES(?,?,?,?,?,?)"));
  query.bind(record.name).bind(record.project).bind(record.spec_json).bind(record.mountpoint);
  auto done = query.bind(record.anonymous).bind(record.created).run();
  if (!done) {
    auto error = std::move(done).error();
    if (error.kind == ErrorKind::exists) error.message = "volume '" + record.name + "' already exists";
    return error;
  }
  return {};
}

Result<> Store::update_volume(const VolumeRecord& record) {
  ASSIGN_OR_RETURN(auto query, db_->query("UPDATE volumes SET project=?,spec=?,mountpoint=?,anonymous=?,created=? WHERE name=?"));
  query.bind(record.project).bind(record.spec_json).bind(record.mountpoint).bind(record.anonymous);
  ASSIGN_OR_RETURN(const int changed, query.bind(record.created).bind(record.name).run());
  if (changed == 0) return base::make_error(ErrorKind::not_found, "no such volume: " + record.name);
  return {};
}

Result<> Store::remove_volume(const std::string& name) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM volumes WHERE name=?"));
  TRY(query.bind(name).run());
  return {};
}

Result<std::optional<VolumeRecord>> Store::volume(const std::string& name) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM volumes WHERE name=?"));
  return first(query.bind(name), volume_row);
}

Result<std::vector<VolumeRecord>> Store::volumes(const std::optional<std::string>& project) {
  if (!project) {
    ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM volumes ORDER BY name"));
    return rows(query, volume_row);
  }
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM volumes WHERE project=? ORDER BY name"));
  return rows(query.bind(*project), volume_row);
}

}  // namespace engine::store
