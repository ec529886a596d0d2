#include "engine/store/database.h"

#include <sys/stat.h>

#include <cerrno>

#include "base/sys.h"

namespace engine::store {

using base::Error;
using base::ErrorKind;

namespace {
constexpr int busy_timeout_ms = 10'000;

ErrorKind kind_of(int code, int number) {
  if (code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY) return ErrorKind::exists;
  if (code == SQLITE_CONSTRAINT_FOREIGNKEY) return ErrorKind::not_found;
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED: return ErrorKind::unavailable;
    case SQLITE_FULL:
    case SQLITE_NOMEM: return ErrorKind::exhausted;
    case SQLITE_PERM:
    case SQLITE_READONLY: return ErrorKind::permission;
    case SQLITE_CANTOPEN:
      if (number == EACCES || number == EPERM || number == EROFS) return ErrorKind::permission;
      return number == ENOENT ? ErrorKind::not_found : ErrorKind::io;
    case SQLITE_IOERR:
      return number == ENOSPC || number == EDQUOT ? ErrorKind::exhausted : ErrorKind::io;
    default: return ErrorKind::io;
  }
}
}  // namespace

Error Database::error(int code, std::string_view what) const {
  const int number = sqlite3_system_errno(handle_);
  const int extended = sqlite3_extended_errcode(handle_);
  if ((extended & 0xff) == (code & 0xff)) code = extended;
  const auto kind = kind_of(code, number);
  std::string text = "state database " + path_ + ": ";
  if (!what.empty()) text += std::string(what) + ": ";
  switch (code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      text += "the file is damaged (" + std::string(sqlite3_errmsg(handle_)) +
              "); restore it, or move it away to start with an empty one";
      break;
    case SQLITE_BUSY: text += "another process has held it for too long"; break;
    case SQLITE_FULL: text += "no space left on device"; break;
    default:
      text += kind == ErrorKind::exhausted ? "no space left on device" : sqlite3_errmsg(handle_);
      if (number != 0 && kind != ErrorKind::exhausted && (code & 0xff) != SQLITE_CONSTRAINT)
        text += std::string(" (") + std::strerror(number) + ")";
  }
  auto result = base::make_error(kind, std::move(text));
  result.number = number;
  return result;
}

Result<std::unique_ptr<Database>> Database::open(const std::filesystem::path& path) {
  if (path.has_parent_path()) TRY(base::sys::make_directories(path.parent_path(), 0711));
  // SQLite creates with 0644 & ~umask; specs hold environment secrets, so the file is made 0600 first.
  { TRY(base::sys::open(path, O_RDWR | O_CREAT, 0600)); }
  sqlite3* handle = nullptr;
  const int code = sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nullptr);
  std::unique_ptr<Database> db(new Database(handle, path.string()));
  if (handle == nullptr) return base::make_error(ErrorKind::exhausted, "state database: out of memory");
  if (code != SQLITE_OK) return db->error(code, "open");
  sqlite3_extended_result_codes(handle, 1);
  sqlite3_busy_timeout(handle, busy_timeout_ms);
  // Every command opens and closes the database; checkpointing at each close would cost two fsyncs a command.
  sqlite3_db_config(handle, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
  TRY(db->execute("PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=500;"));
  TRY(migrate(*db));
  return db;
}

Database::~Database() {
  for (auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(handle_);
}

void Database::release_memory() {
  std::erase_if(statements_, [](const auto& entry) {
    if (sqlite3_stmt_busy(entry.second) != 0) return false;
    sqlite3_finalize(entry.second);
    return true;
  });
  (void)sqlite3_db_release_memory(handle_);
}

Result<> Database::empty_log(int frames) {
  constexpr int header = 32, frame = 4096 + 24;  // https://www.sqlite.org/fileformat2.html#the_write_ahead_log
  struct stat info {};
  if (::stat((path_ + "-wal").c_str(), &info) != 0 || info.st_size <= header + static_cast<off_t>(frames) * frame) return {};
  sqlite3_busy_timeout(handle_, 0);
  const int code = sqlite3_wal_checkpoint_v2(handle_, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  sqlite3_busy_timeout(handle_, busy_timeout_ms);
  if (code == SQLITE_OK || (code & 0xff) == SQLITE_BUSY) return {};
  return error(code, "checkpoint");
}

Result<Query> Database::query(const char* sql) {
  auto& statement = statements_[sql];
  if (statement == nullptr) {
    const int code = sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) return error(code, "");
  }
  if (sqlite3_stmt_busy(statement) != 0)
    return base::make_error(ErrorKind::internal, std::string("statement used twice at once: ") + sql);
  return Query(*this, statement);
}

Result<> Database::execute(const std::string& sql) {
  const int code = sqlite3_exec(handle_, sql.c_str(), nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return error(code, "");
  return {};
}

Query::Query(Query&& other) noexcept
    : db_(other.db_), statement_(std::exchange(other.statement_, nullptr)), next_(other.next_) {}

Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Query& Query::bind(std::string_view text) {
  // A null pointer would bind NULL: an empty view may have one.
  sqlite3_bind_text64(statement_, next_++, text.data() == nullptr ? "" : text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  return *this;
}
Query& Query::bind(std::int64_t number) {
  sqlite3_bind_int64(statement_, next_++, number);
  return *this;
}
Query& Query::bind(const std::optional<int>& number) { return number ? bind(*number) : bind_null(); }
Query& Query::bind_null() {
  sqlite3_bind_null(statement_, next_++);
  return *this;
}

Result<bool> Query::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return db_->error(code, "");
}

Result<int> Query::run() {
  ASSIGN_OR_RETURN(const bool row, step());
  if (row) return base::make_error(ErrorKind::internal, "statement returned rows");
  return db_->changes();
}

std::string Query::text(int column) const {
  const auto* data = sqlite3_column_blob(statement_, column);  // bytes as stored: text of images may hold NUL
  if (data == nullptr) return {};
  return {static_cast<const char*>(data), static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
}
std::int64_t Query::number(int column) const { return sqlite3_column_int64(statement_, column); }
int Query::integer(int column) const { return sqlite3_column_int(statement_, column); }
std::optional<int> Query::optional_integer(int column) const {
  if (sqlite3_column_type(statement_, column) == SQLITE_NULL) return std::nullopt;
  return integer(column);
}

}  // namespace engine::store
