// Rows of images, their names, layers and the build cache.
#include "engine/store/database.h"
#include "engine/store/store.h"

namespace engine::store {

namespace {

ReferenceRecord reference_row(const Query& query) {
  return {.reference = query.text(0), .image_id = query.text(1), .digest = query.text(2), .updated = query.number(3)};
}

LayerRecord layer_row(const Query& query) {
  return {.chain_id = query.text(0), .parent_chain_id = query.text(1), .diff_id = query.text(2),
          .blob_digest = query.text(3), .blob_media_type = query.text(4), .blob_bytes = query.number(5),
          .size_bytes = query.number(6), .created = query.number(7), .boot_id = query.text(8)};
}

CacheRecord cache_row(const Query& query) {
  return {.key = query.text(0), .chain_id = query.text(1), .value_json = query.text(2), .created = query.number(3),
          .used = query.number(4), .use_count = query.number(5)};
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

Result<ImageRecord> image_row(Database& db, const Query& query) {
  ImageRecord record{.id = query.text(0), .manifest_digest = query.text(1), .platform = query.text(2),
                     .config_json = query.text(3), .chain_ids = {}, .size_bytes = query.number(4),
                     .created = query.number(5), .added = query.number(6)};
  ASSIGN_OR_RETURN(auto chains, db.query("SELECT chain_id FROM image_layers WHERE image_id=? ORDER BY position"));
  ASSIGN_OR_RETURN(record.chain_ids, rows(chains.bind(record.id), [](const Query& row) { return row.text(0); }));
  return record;
}

}  // namespace

Result<> Store::put_image(const ImageRecord& record) {
  ASSIGN_OR_RETURN(auto transaction, begin());
  // An upsert, not a replace: replacing would delete the row first, and its names with it.
  ASSIGN_OR_RETURN(auto query,
                   db_->query("INSERT INTO images VALUES(?,?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET manifest_digest="
                              "CASE WHEN excluded.manifest_digest='' THEN manifest_digest ELSE excluded.manifest_digest END,"
                              "platform=excluded.platform,config=excluded.config,size=excluded.size"));
  query.bind(record.id).bind(record.manifest_digest).bind(record.platform).bind(record.config_json);
  TRY(query.bind(record.size_bytes).bind(record.created).bind(record.added).run());
  ASSIGN_OR_RETURN(auto clear, db_->query("DELETE FROM image_layers WHERE image_id=?"));
  TRY(clear.bind(record.id).run());
  int position = 0;
  for (const auto& chain : record.chain_ids) {
    ASSIGN_OR_RETURN(auto insert, db_->query("INSERT INTO image_layers VALUES(?,?,?)"));
    TRY(insert.bind(record.id).bind(position++).bind(chain).run());
  }
  return transaction.commit();
}

Result<> Store::remove_image(const std::string& id) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM images WHERE id=?"));
  TRY(query.bind(id).run());
  return {};
}

Result<std::optional<ImageRecord>> Store::image(const std::string& id) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM images WHERE id=?"));
  ASSIGN_OR_RETURN(const bool row, query.bind(id).step());
  if (!row) return std::optional<ImageRecord>();
  ASSIGN_OR_RETURN(auto record, image_row(*db_, query));
  return std::optional(std::move(record));
}

Result<std::vector<ImageRecord>> Store::images() {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM images ORDER BY added DESC, id"));
  std::vector<ImageRecord> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool more, query.step());
    if (!more) return all;
    ASSIGN_OR_RETURN(auto record, image_row(*db_, query));
    all.push_back(std::move(record));
  }
}

Result<std::vector<std::string>> Store::image_ids_with_prefix(const std::string& hex) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT id FROM images WHERE id>=? AND id<? LIMIT 2"));
  const auto from = "sha256:" + hex;
  const auto to = from + "g";  // ids are lower-case hex
  return rows(query.bind(from).bind(to), [](const Query& row) { return row.text(0); });
}

Result<> Store::put_reference(const ReferenceRecord& record) {
  ASSIGN_OR_RETURN(auto query, db_->query("INSERT INTO image_references VALUES(?,?,?,?) ON CONFLICT(reference) DO UPDATE "
                                          "SET image_id=excluded.image_id,digest=excluded.digest,updated=excluded.updated"));
  TRY(query.bind(record.reference).bind(record.image_id).bind(record.digest).bind(record.updated).run());
  return {};
}

Result<> Store::remove_reference(const std::string& reference) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM image_references WHERE reference=?"));
  TRY(query.bind(reference).run());
  return {};
}

Result<std::optional<ReferenceRecord>> Store::reference(const std::string& reference) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM image_references WHERE reference=?"));
  ASSIGN_OR_RETURN(const bool row, query.bind(reference).step());
  if (!row) return std::optional<ReferenceRecord>();
  return std::optional(reference_row(query));
}

Result<std::vector<ReferenceRecord>> Store::references(const std::optional<std::string>& image_id) {
  if (!image_id) {
    ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM image_references ORDER BY reference"));
    return rows(query, reference_row);
  }
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM image_references WHERE image_id=? ORDER BY reference"));
  return rows(query.bind(*image_id), reference_row);
}

Result<> Store::put_layer(const LayerRecord& record) {
  ASSIGN_OR_RETURN(auto query,
                   db_->query("INSERT INTO layers VALUES(?,?,?,?,?,?,?,?,?) ON CONFLICT(chain_id) DO UPDATE SET "
                              "blob_digest=excluded.blob_digest,blob_media_type=excluded.blob_media_type,"
                              "blob_bytes=excluded.blob_bytes,size=excluded.size,created=excluded.created,boot_id=excluded.boot_id"));
  query.bind(record.chain_id).bind(record.parent_chain_id).bind(record.diff_id).bind(record.blob_digest);
  query.bind(record.blob_media_type).bind(record.blob_bytes).bind(record.size_bytes).bind(record.created);
  TRY(query.bind(record.boot_id).run());
  return {};
}

Result<> Store::remove_layer(const std::string& chain_id) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM layers WHERE chain_id=?"));
  TRY(query.bind(chain_id).run());
  return {};
}

Result<> Store::settle_layers(const std::string& boot, WallNs before) {
  ASSIGN_OR_RETURN(auto query, db_->query("UPDATE layers SET boot_id='' WHERE boot_id=? AND created<=?"));
  TRY(query.bind(boot).bind(before).run());
  return {};
}

Result<std::optional<LayerRecord>> Store::layer(const std::string& chain_id) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM layers WHERE chain_id=?"));
  ASSIGN_OR_RETURN(const bool row, query.bind(chain_id).step());
  if (!row) return std::optional<LayerRecord>();
  return std::optional(layer_row(query));
}

Result<std::vector<LayerRecord>> Store::layers() {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM layers ORDER BY chain_id"));
  return rows(query, layer_row);
}

Result<std::vector<LayerRecord>> Store::unused_layers() {
  // A cached layer needs its parents too: walk down from every used one.
  ASSIGN_OR_RETURN(auto query, db_->query(
      "WITH RECURSIVE used(chain_id) AS (SELECT chain_id FROM image_layers UNION SELECT chain_id FROM build_cache "
      "UNION SELECT l.parent FROM layers l JOIN used u ON l.chain_id=u.chain_id) "
      "SELECT * FROM layers WHERE chain_id NOT IN (SELECT chain_id FROM used) ORDER BY created DESC"));
  return rows(query, layer_row);
}

Result<std::optional<CacheRecord>> Store::cache_entry(const std::string& key) {
  std::optional<CacheRecord> found;
  {
    ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM build_cache WHERE key=?"));
    ASSIGN_OR_RETURN(const bool row, query.bind(key).step());
    if (!row) return found;
    found = cache_row(query);
  }
  ASSIGN_OR_RETURN(auto use, db_->query("UPDATE build_cache SET used=?,use_count=use_count+1 WHERE key=?"));
  TRY(use.bind(now_ns()).bind(key).run());
  return found;
}

Result<> Store::put_cache_entry(const CacheRecord& record) {
  ASSIGN_OR_RETURN(auto query, db_->query("INSERT OR REPLACE INTO build_cache VALUES(?,?,?,?,?,?)"));
  query.bind(record.key).bind(record.chain_id).bind(record.value_json).bind(record.created);
  TRY(query.bind(record.used).bind(record.use_count).run());
  return {};
}

Result<> Store::remove_cache_entry(const std::string& key) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM build_cache WHERE key=?"));
  TRY(query.bind(key).run());
  return {};
}

Result<std::vector<CacheRecord>> Store::cache_entries() {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM build_cache ORDER BY used, key"));
  return rows(query, cache_row);
}

}  // namespace engine::store
