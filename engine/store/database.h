#pragma once
// SQLite behind Result: the only place that calls it. Private to the room.
#include <sqlite3.h>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/result.h"

namespace engine::store {

using base::Result;

class Database;

/// A prepared statement in use. Parameters are bound in order; step() is true while there are rows. Resets at the end.
/// Text columns are copied out; bound text must live until the last step().
class Query {
 public:
  Query(Database& db, sqlite3_stmt* statement) : db_(&db), statement_(statement) {}
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;
  Query(Query&& other) noexcept;
  Query& operator=(Query&&) = delete;
  ~Query();

  Query& bind(std::string_view text);
  Query& bind(std::int64_t number);
  Query& bind(int number) { return bind(std::int64_t{number}); }
  Query& bind(bool flag) { return bind(std::int64_t{flag ? 1 : 0}); }
  Query& bind(const std::optional<int>& number);
  Query& bind_null();

  Result<bool> step();
  /// Runs a statement without rows; returns the number of changed rows.
  Result<int> run();

  [[nodiscard]] std::string text(int column) const;
  [[nodiscard]] std::int64_t number(int column) const;
  [[nodiscard]] int integer(int column) const;
  [[nodiscard]] bool flag(int column) const { return number(column) != 0; }
  [[nodiscard]] std::optional<int> optional_integer(int column) const;

 private:
  Database* db_;
  sqlite3_stmt* statement_;
  int next_ = 1;
};

class Database {
 public:
  static Result<std::unique_ptr<Database>> open(const std::filesystem::path& path);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  /// Prepared once for every literal: `sql` is the key by address, so it must be a string literal.
  Result<Query> query(const char* sql);
  /// Several statements without parameters.
  Result<> execute(const std::string& sql);
  void release_memory();
  /// Moves what is in the log into the database and empties the log, when it holds more than `frames` pages and nobody is
  /// using it just now; nothing otherwise. Waits for the disk, never for another process.
  Result<> empty_log(int frames);
  [[nodiscard]] base::Error error(int code, std::string_view what) const;
  [[nodiscard]] int changes() const { return sqlite3_changes(handle_); }

  int depth = 0;  ///< open transactions, nested ones included

 private:
  Database(sqlite3* handle, std::string path) : handle_(handle), path_(std::move(path)) {}
  sqlite3* handle_;
  std::string path_;
  std::unordered_map<const char*, sqlite3_stmt*> statements_;
};

/// Brings the schema to the newest version (schema.cpp). Error unsupported when it is newer than we know.
Result<> migrate(Database& db);

}  // namespace engine::store
