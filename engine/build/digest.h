#pragma once
// What a build step's inputs hash to. File contents are hashed once: later builds only stat.
#include <array>
#include <filesystem>
#include <mutex>
#include <string>
#include <unordered_map>

#include "engine/build/tree.h"

namespace engine::build {

using Sha256 = std::array<unsigned char, 32>;

/// Feeds bytes and fields into one SHA-256.
class Hasher {
 public:
  Hasher();
  ~Hasher();
  Hasher(Hasher&& other) noexcept : context_(std::exchange(other.context_, nullptr)) {}
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  Hasher& bytes(std::string_view text);
  /// With its length in front, so that fields never run together.
  Hasher& field(std::string_view text);
  Hasher& number(std::int64_t value);
  Sha256 finish();
  /// "sha256:…"
  std::string hex();

 private:
  void* context_;
};

/// Digests of files by (device, inode, size, mtime, ctime). One file on disk for each context folder.
/// An entry is kept only when its ctime was well in the past when the file was read: a later write then changes ctime for sure.
/// Thread-safe.
class StatCache {
 public:
  /// A missing or damaged file is an empty cache.
  static StatCache load(const std::filesystem::path& file);
  StatCache() = default;
  StatCache(StatCache&& other) noexcept;
  StatCache& operator=(StatCache&&) = delete;

  std::optional<Sha256> find(const struct stat& info);
  void add(const struct stat& info, const Sha256& digest);
  /// Writes what this build used, if anything is new. Losing it only costs time.
  Result<> save(const std::filesystem::path& file);

 private:
  struct Record {
    std::uint64_t device, inode, size, mtime_ns, ctime_ns;
    Sha256 digest;
  };
  static Record key_of(const struct stat& info);
  std::mutex mutex_;
  std::unordered_map<std::uint64_t, Record> records_;  ///< by inode
  bool changed_ = false;
};

/// Content key of an item: types, permissions, names, link targets and contents, never times; owners and file capabilities
/// when the copy keeps them (`owners`). `cache` may be null.
Result<std::string> digest_item(const Item& item, StatCache* cache, bool owners = false);

}  // namespace engine::build
