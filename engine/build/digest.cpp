#include "engine/build/digest.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <thread>

#include "base/sys.h"

namespace engine::build {
namespace {

constexpr std::string_view magic = "compose-stat-1\n";
/// Coarse file system clocks tick every 4 ms; a second is generous.
constexpr std::uint64_t settled_ns = 1'000'000'000;

EVP_MD_CTX* context(void* raw) { return static_cast<EVP_MD_CTX*>(raw); }

std::uint64_t nanoseconds(const timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000U + static_cast<std::uint64_t>(time.tv_nsec);
}

Result<Sha256> digest_file(Fd folder, const std::string& name, int flags, std::vector<char>& buffer) {
  ASSIGN_OR_RETURN(const UniqueFd file, base::sys::openat(folder, name, O_RDONLY | O_NONBLOCK | flags));
  Hasher hasher;
  while (true) {
    ASSIGN_OR_RETURN(const std::size_t got, base::sys::read(file.borrow(), buffer));
    if (got == 0) return hasher.finish();
    hasher.bytes(std::string_view(buffer.data(), got));
  }
}

char type_letter(mode_t mode) {
  if (S_ISDIR(mode)) return 'd';
  if (S_ISREG(mode)) return 'f';
  if (S_ISLNK(mode)) return 'l';
  if (S_ISCHR(mode)) return 'c';
  if (S_ISBLK(mode)) return 'b';
  return 'p';
}

}  // namespace

Hasher::Hasher() : context_(::EVP_MD_CTX_new()) {
  // The fetched algorithm is reused: looking it up costs more than hashing a small file.
  static EVP_MD* const sha256 = ::EVP_MD_fetch(nullptr, "SHA256", nullptr);
  ::EVP_DigestInit_ex(context(context_), sha256, nullptr);
}

Hasher::~Hasher() { ::EVP_MD_CTX_free(context(context_)); }

Hasher& Hasher::bytes(std::string_view text) {
  ::EVP_DigestUpdate(context(context_), text.data(), text.size());
  return *this;
}

Hasher& Hasher::field(std::string_view text) { return number(static_cast<std::int64_t>(text.size())).bytes(text); }

Hasher& Hasher::number(std::int64_t value) {
  ::EVP_DigestUpdate(context(context_), &value, sizeof value);
  return *this;
}

Sha256 Hasher::finish() {
  Sha256 digest{};
  unsigned length = 0;
  ::EVP_DigestFinal_ex(context(context_), digest.data(), &length);
  return digest;
}

std::string Hasher::hex() {
  static constexpr char digits[] = "0123456789abcdef";
  std::string text = "sha256:";
  for (const unsigned char byte : finish()) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

StatCache::StatCache(StatCache&& other) noexcept
    : records_(std::move(other.records_)), changed_(std::exchange(other.changed_, false)) {}

StatCache::Record StatCache::key_of(const struct stat& info) {
  return {.device = info.st_dev,
          .inode = info.st_ino,
          .size = static_cast<std::uint64_t>(info.st_size),
          .mtime_ns = nanoseconds(info.st_mtim),
          .ctime_ns = nanoseconds(info.st_ctim),
          .digest = {}};
}

StatCache StatCache::load(const std::filesystem::path& file) {
  StatCache cache;
  const auto text = base::sys::read_file(file, std::size_t{1} << 30);
  if (!text || !text->starts_with(magic) || (text->size() - magic.size()) % sizeof(Record) != 0) return cache;
  const std::size_t count = (text->size() - magic.size()) / sizeof(Record);
  cache.records_.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    Record record;
    std::memcpy(&record, text->data() + magic.size() + i * sizeof(Record), sizeof record);
    cache.records_.emplace(record.inode, record);
  }
  return cache;
}

std::optional<Sha256> StatCache::find(const struct stat& info) {
  const Record wanted = key_of(info);
  const std::lock_guard lock(mutex_);
  const auto found = records_.find(wanted.inode);
  if (found == records_.end()) return std::nullopt;
  const Record& have = found->second;
  const bool same = have.device == wanted.device && have.size == wanted.size && have.mtime_ns == wanted.mtime_ns &&
                    have.ctime_ns == wanted.ctime_ns;
  return same ? std::optional(have.digest) : std::nullopt;
}

void StatCache::add(const struct stat& info, const Sha256& digest) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  Record record = key_of(info);
  if (std::max(record.ctime_ns, record.mtime_ns) + settled_ns > nanoseconds(now)) return;
  record.digest = digest;
  const std::lock_guard lock(mutex_);
  records_.insert_or_assign(record.inode, record);
  changed_ = true;
}

Result<> StatCache::save(const std::filesystem::path& file) {
  const std::lock_guard lock(mutex_);
  if (!changed_) return {};
  std::string text(magic);
  text.reserve(magic.size() + records_.size() * sizeof(Record));
  for (const auto& [inode, record] : records_) text.append(reinterpret_cast<const char*>(&record), sizeof record);
  TRY(base::sys::make_directories(file.parent_path(), 0700));
  TRY(base::sys::replace_file(file, text, 0600));
  changed_ = false;
  return {};
}

namespace {

constexpr std::size_t entries_for_two = 500;  // from here on a second thread pays

/// A file item is an O_PATH descriptor: reopened through /proc.
Result<Sha256> digest_single(const Item& item, std::vector<char>& buffer) {
  return digest_file({}, "/proc/self/fd/" + std::to_string(item.fd.number()), 0, buffer);
}

/// Digests of the regular files among entries [first, last) that the cache does not know.
Result<> digest_files(const Item& item, std::size_t first, std::size_t last, StatCache* cache, std::vector<Sha256>& digests) {
  FolderStack folders(item.fd.borrow());
  std::vector<char> buffer(256 * 1024);
  for (std::size_t i = first; i < last; ++i) {
    const Entry& entry = item.entries[i];
    if (!S_ISREG(entry.info.st_mode)) continue;
    if (const auto known = cache != nullptr ? cache->find(entry.info) : std::nullopt) {
      digests[i] = *known;
      continue;
    }
    if (entry.path.empty()) {
      ASSIGN_OR_RETURN(digests[i], digest_single(item, buffer));
    } else {
      std::string name;
      ASSIGN_OR_RETURN(const Fd folder, folders.folder_of(entry.path, name));
      ASSIGN_OR_RETURN(digests[i], digest_file(folder, name, O_NOFOLLOW, buffer));
    }
    if (cache != nullptr) cache->add(entry.info, digests[i]);
  }
  return {};
}

/// File capabilities as they are stored; "" without.
std::string capability(const Item& item, const std::string& path, FolderStack& folders) {
  std::string name;
  const auto folder = path.empty() ? Result<Fd>(item.fd.borrow()) : folders.folder_of(path, name);
  if (!folder) return "";
  char value[64];
  const std::string full = "/proc/self/fd/" + std::to_string(folder->number()) + (path.empty() ? "" : "/" + name);
  const ssize_t size = path.empty() ? ::getxattr(full.c_str(), "security.capability", value, sizeof value)
                                    : ::lgetxattr(full.c_str(), "security.capability", value, sizeof value);
  return size > 0 ? std::string(value, static_cast<std::size_t>(size)) : "";
}

}  // namespace

Result<std::string> digest_item(const Item& item, StatCache* cache, bool owners) {
  const std::size_t end = item.entries.size(), middle = end > entries_for_two ? end / 2 : end;
  std::vector<Sha256> digests(end);
  Result<> second;
  {
    std::jthread other;
    if (middle < end) other = std::jthread([&] { second = digest_files(item, middle, end, cache, digests); });
    TRY(digest_files(item, 0, middle, cache, digests));
  }
  TRY(std::move(second));
  Hasher hasher;
  FolderStack folders(item.fd.borrow());
  for (std::size_t i = 0; i < end; ++i) {
    const auto& [path, info] = item.entries[i];
    // A directory's contents are copied, not its own rights: the item's own mode does not count then.
    const bool own_folder = path.empty() && S_ISDIR(info.st_mode);
    hasher.number(type_letter(info.st_mode)).number(own_folder ? 0 : info.st_mode & 07777).field(path);
    if (owners && !own_folder) hasher.number(info.st_uid).number(info.st_gid);
    if (owners && S_ISREG(info.st_mode)) hasher.field(capability(item, path, folders));
    if (S_ISREG(info.st_mode)) {
      hasher.bytes(std::string_view(reinterpret_cast<const char*>(digests[i].data()), digests[i].size()));
    } else if (S_ISLNK(info.st_mode)) {
      std::string name;
      ASSIGN_OR_RETURN(const Fd folder, folders.folder_of(path, name));
      char target[4096];
      ASSIGN_OR_RETURN(const long length,
                       base::sys::wrap("readlink " + path, ::readlinkat(folder.number(), name.c_str(), target, sizeof target)));
      hasher.field(std::string_view(target, static_cast<std::size_t>(length)));
    } else if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
      hasher.number(static_cast<std::int64_t>(info.st_rdev));
    }
  }
  return hasher.hex();
}

}  // namespace engine::build
