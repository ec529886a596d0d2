#include "engine/store/store.h"

#include <chrono>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/store/database.h"

namespace engine::store {

Transaction::Transaction(Transaction&& other) noexcept
    : db_(std::exchange(other.db_, nullptr)), depth_(other.depth_) {}

Transaction::~Transaction() {
  if (db_ == nullptr) return;
  // After an error SQLite may have rolled back by itself: then this fails, and there is nothing left to undo.
  const auto name = "s" + std::to_string(depth_);
  (void)db_->execute(depth_ == 1 ? "ROLLBACK" : "ROLLBACK TO " + name + "; RELEASE " + name);
  db_->depth = depth_ - 1;
}

Result<> Transaction::commit() {
  if (db_ == nullptr) return base::make_error(base::ErrorKind::internal, "transaction committed twice");
  TRY(db_->execute(depth_ == 1 ? "COMMIT" : "RELEASE s" + std::to_string(depth_)));
  db_->depth = depth_ - 1;
  db_ = nullptr;
  return {};
}

Store::Store(std::unique_ptr<Database> db) : db_(std::move(db)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Store> Store::open(const std::filesystem::path& path) {
  ASSIGN_OR_RETURN(auto db, Database::open(path));
  return Store(std::move(db));
}
Result<Store> Store::open() { return open(paths::database()); }

void Store::release_memory() { db_->release_memory(); }

Result<> Store::tidy() {
  constexpr int few_frames = 100;  // 0.4 MB: a third of a millisecond
  return db_->empty_log(few_frames);
}

Result<Transaction> Store::begin() {
  const int depth = db_->depth + 1;
  TRY(db_->execute(depth == 1 ? "BEGIN IMMEDIATE" : "SAVEPOINT s" + std::to_string(depth)));
  db_->depth = depth;
  return Transaction(db_.get(), depth);
}

Result<std::int64_t> Store::data_version() {
  ASSIGN_OR_RETURN(auto query, db_->query("PRAGMA data_version"));
  ASSIGN_OR_RETURN(const bool row, query.step());
  return row ? query.number(0) : 0;
}

Result<int> Store::add_generation(const std::string& project, WallNs created, const std::string& json) {
  constexpr int kept = 50;
  ASSIGN_OR_RETURN(auto transaction, begin());
  int number = 1;
  {
    ASSIGN_OR_RETURN(auto query, db_->query("SELECT COALESCE(MAX(number),0)+1 FROM generations WHERE project=?"));
    ASSIGN_OR_RETURN(const bool row, query.bind(project).step());
    if (row) number = query.integer(0);
  }
  ASSIGN_OR_RETURN(auto insert, db_->query("INSERT INTO generations VALUES(?,?,?,?)"));
  TRY(insert.bind(project).bind(number).bind(created).bind(json).run());
  ASSIGN_OR_RETURN(auto trim, db_->query("DELETE FROM generations WHERE project=? AND number<=?"));
  TRY(trim.bind(project).bind(number - kept).run());
  TRY(transaction.commit());
  return number;
}

namespace {
GenerationRecord generation_row(const Query& query) {
  return {.project = query.text(0), .number = query.integer(1), .created = query.number(2), .json = query.text(3)};
}
}  // namespace

Result<std::vector<GenerationRecord>> Store::generations(const std::string& project) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM generations WHERE project=? ORDER BY number DESC"));
  query.bind(project);
  std::vector<GenerationRecord> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (!row) return all;
    all.push_back(generation_row(query));
  }
}

Result<std::optional<GenerationRecord>> Store::generation(const std::string& project, int number) {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT * FROM generations WHERE project=? AND number=?"));
  ASSIGN_OR_RETURN(const bool row, query.bind(project).bind(number).step());
  if (!row) return std::optional<GenerationRecord>();
  return std::optional(generation_row(query));
}

Result<> Store::remove_generations(const std::string& project) {
  ASSIGN_OR_RETURN(auto query, db_->query("DELETE FROM generations WHERE project=?"));
  TRY(query.bind(project).run());
  return {};
}

Result<std::vector<std::string>> Store::projects() {
  ASSIGN_OR_RETURN(auto query, db_->query("SELECT project FROM containers WHERE project<>'' UNION "
                                          "SELECT project FROM networks WHERE project<>'' UNION "
                                          "SELECT project FROM generations ORDER BY 1"));
  std::vector<std::string> all;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, query.step());
    if (!row) return all;
    all.push_back(query.text(0));
  }
}

WallNs now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

const std::string& boot_id() {
  static const std::string id = [] {
    auto text = base::sys::read_file("/proc/sys/kernel/random/boot_id", 64);
    std::string line = text ? *text : std::string();
    while (!line.empty() && line.back() == '\n') line.pop_back();
    return line;
  }();
  return id;
}

}  // namespace engine::store
