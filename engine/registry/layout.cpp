#include "engine/registry/layout.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <map>
#include <thread>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/blobs.h"
#include "engine/registry/extract.h"
#include "engine/registry/hash.h"
#include "engine/registry/inflate.h"
#include "engine/registry/sandbox.h"
#include "engine/registry/tar.h"

namespace engine::registry {

using base::ErrorKind;
using base::Fd;
using base::UniqueFd;

namespace {

constexpr std::int64_t text_max = 8 << 20;
constexpr std::size_t entries_max = 1'000'000;
constexpr int links_max = 40;  ///< as the kernel's MAXSYMLINKS

Result<std::size_t> read_at(Fd file, std::span<char> into, std::int64_t at) {
  for (;;) {
    const auto count = ::pread(file.number(), into.data(), into.size(), at);
    if (count >= 0) return static_cast<std::size_t>(count);
    if (errno != EINTR) return base::errno_error(errno, "read");
  }
}

class FolderLayout final : public Layout {
 public:
  explicit FolderLayout(UniqueFd root) : root_(std::move(root)) {}
  [[nodiscard]] Result<Member> open(const std::string& name) const override {
    ASSIGN_OR_RETURN(auto file, base::sys::openat2(root_.borrow(), name, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS));
    struct stat info {};
    TRY(base::sys::wrap("stat " + name, fstat(file.number(), &info)));
    if (!S_ISREG(info.st_mode)) return base::make_error(ErrorKind::invalid, name + " is not a file");
    return Member(std::move(file), 0, info.st_size);
  }

 private:
  UniqueFd root_;
};

/// A tar in a file: where each entry's data is. Nothing is unpacked.
class ArchiveLayout final : public Layout {
 public:
  ArchiveLayout(UniqueFd file, std::int64_t begin, std::int64_t end) : file_(std::move(file)), begin_(begin), end_(end) {}

  /// Reads the headers, on a thread that may do nothing else.
  Result<> index() {
    Result<> result;
    std::thread([&] {
      confine_thread(Fd());
      result = read_headers();
    }).join();
    return result;
  }

  [[nodiscard]] Result<Member> open(const std::string& name) const override {
    ASSIGN_OR_RETURN(auto path, clean_path(name, UnpackLimits{}.depth_max));
    for (int links = 0; links <= links_max; ++links) {
      const auto found = entries_.find(path);
      if (found == entries_.end()) return base::make_error(ErrorKind::not_found, name + " is not in the archive");
      const Entry& entry = found->second;
      switch (entry.kind) {
        case Kind::data: {
          ASSIGN_OR_RETURN(auto file, base::sys::dup(file_.borrow()));
          return Member(std::move(file), entry.offset, entry.size);
        }
        case Kind::link: path = entry.target; break;
        case Kind::other: return base::make_error(ErrorKind::invalid, name + " is not a plain file in the archive");
      }
    }
    return base::make_error(ErrorKind::invalid, name + ": too many links");
  }

 private:
  enum class Kind : std::uint8_t { data, link, other };
  struct Entry {
    Kind kind = Kind::other;
    std::int64_t offset = 0, size = 0;
    std::string target;
  };

  Result<> read_headers() {
    std::array<char, 16 * 1024> buffer{};
    std::int64_t at = begin_;
    TarReader reader(
        [&]() -> Result<std::span<const char>> {
          const auto room = static_cast<std::size_t>(std::min<std::int64_t>(end_ - at, buffer.size()));
          ASSIGN_OR_RETURN(const auto count, read_at(file_.borrow(), std::span(buffer).first(room), at));
          at += static_cast<std::int64_t>(count);
          return std::span<const char>(buffer).first(count);
        },
        [&](std::int64_t count) -> Result<> {
          if (count > end_ - at) return base::make_error(ErrorKind::invalid, "the archive ends inside a file");
          at += count;
          return {};
        });
    TarEntry entry;
    for (bool any = false;; any = true) {
      ASSIGN_OR_RETURN(const bool more, reader.next(entry));
      if (!more && !any) return base::make_error(ErrorKind::invalid, "the archive is empty");
      if (!more) return {};
      ASSIGN_OR_RETURN(const auto path, clean_path(entry.name, UnpackLimits{}.depth_max));
      if (!entries_.contains(path) && entries_.size() == entries_max) return base::make_error(ErrorKind::exhausted, "the archive has too many entries");
      ASSIGN_OR_RETURN(entries_[path], place(entry, path, begin_ + reader.position()));
    }
  }

  static Result<Entry> place(const TarEntry& entry, const std::string& path, std::int64_t offset) {
    using Type = TarEntry::Type;
    if (entry.type == Type::file && !entry.sparse) return Entry{.kind = Kind::data, .offset = offset, .size = entry.size, .target = ""};
    if (entry.type == Type::hard_link || entry.type == Type::symlink) {
      const auto folder = entry.type == Type::symlink && !entry.link.starts_with('/') ? std::filesystem::path(path).parent_path() : std::filesystem::path();
      // A link out of the archive leads nowhere, which only matters to who follows it.
      auto target = clean_path((folder / entry.link).lexically_normal().relative_path().string(), UnpackLimits{}.depth_max);
      if (target) return Entry{.kind = Kind::link, .target = *std::move(target)};
    }
    return Entry{};
  }

  UniqueFd file_;
  std::int64_t begin_, end_;
  std::map<std::string, Entry> entries_;
};

/// All of the input as it is inside its compression, in a file without a name.
Result<UniqueFd> spool(const ByteSource& source) {
  ASSIGN_OR_RETURN(const auto partial, PartialFile::create());  // loses its name at the end of this function
  ASSIGN_OR_RETURN(auto file, base::sys::dup(partial.fd()));
  ASSIGN_OR_RETURN(const auto inflating, make_inflater(source));
  std::vector<char> buffer(512 * 1024);
  for (std::int64_t total = 0;;) {
    ASSIGN_OR_RETURN(const auto count, inflating.inflater->read(buffer));
    if (count == 0) return file;
    total += static_cast<std::int64_t>(count);
    if (total > UnpackLimits{}.bytes_max) return base::make_error(ErrorKind::exhausted, "the archive is larger than the limit");
    TRY(base::sys::write_all(file.borrow(), {buffer.data(), count}));
  }
}

}  // namespace

Result<std::size_t> Member::read(std::span<char> into) {
  if (left_ == 0) return std::size_t{0};
  ASSIGN_OR_RETURN(const auto count, read_at(fd_.borrow(), into.first(std::min(into.size(), static_cast<std::size_t>(left_))), at_));
  if (count == 0) return base::make_error(ErrorKind::invalid, "the file became shorter while it was read");
  at_ += static_cast<std::int64_t>(count);
  left_ -= static_cast<std::int64_t>(count);
  return count;
}

Result<std::string> Layout::text(const std::string& name) const {
  ASSIGN_OR_RETURN(auto file, open(name));
  if (file.size() > text_max) return base::make_error(ErrorKind::exhausted, name + " is too large");
  std::string bytes(static_cast<std::size_t>(file.size()), '\0');
  for (std::size_t have = 0; have < bytes.size();) {
    ASSIGN_OR_RETURN(const auto count, file.read(std::span(bytes).subspan(have)));
    have += count;
  }
  return bytes;
}

Result<std::string> Layout::blob_text(const std::string& digest) const {
  ASSIGN_OR_RETURN(auto bytes, text(blob_name(digest)));
  Hasher hasher(std::string_view(digest).substr(0, 6));
  hasher.update(bytes);
  if (hasher.finish() != digest) return base::make_error(ErrorKind::invalid, "blob " + digest + " has another digest");
  return bytes;
}

std::string blob_name(const std::string& digest) {
  return "blobs/" + digest.substr(0, digest.find(':')) + "/" + std::string(images::digest_hex(digest));
}

Result<std::unique_ptr<Layout>> folder_layout(const std::filesystem::path& folder) {
  ASSIGN_OR_RETURN(auto root, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
  return std::unique_ptr<Layout>(std::make_unique<FolderLayout>(std::move(root)));
}

Result<std::unique_ptr<Layout>> archive_layout(Fd input) {
  struct stat info {};
  TRY(base::sys::wrap("stat", fstat(input.number(), &info)));
  const auto begin = ::lseek(input.number(), 0, SEEK_CUR);
  bool plain = false;
  if (S_ISREG(info.st_mode) && begin >= 0) {
    std::string block(512, '\0');
    ASSIGN_OR_RETURN(const auto count, read_at(input, block, begin));
    plain = is_tar_header(block.substr(0, count));
  }
  UniqueFd file;
  if (plain) {
    ASSIGN_OR_RETURN(file, base::sys::dup(input));
  } else {
    ASSIGN_OR_RETURN(file, spool([input](std::span<char> into) { return base::sys::read(input, into); }));
    TRY(base::sys::wrap("stat", fstat(file.number(), &info)));
  }
  auto layout = std::make_unique<ArchiveLayout>(std::move(file), plain ? begin : 0, info.st_size);
  TRY(layout->index());
  return std::unique_ptr<Layout>(std::move(layout));
}

}  // namespace engine::registry
