// Sources: POSIX pax(1) "ustar" and "pax interchange format"; GNU tar manual, "Basic Tar Format" and "Sparse Formats".
#include "engine/registry/tar.h"
#include "engine/registry/encoding.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <limits>
#include <optional>

namespace engine::registry {

using base::ErrorKind;

namespace {

constexpr std::size_t block_size = 512;
constexpr std::int64_t extended_max = 1 << 20;      // a PAX header or long name
constexpr std::size_t extents_max = 1 << 20;

base::Error bad(const std::string& what) { return base::make_error(ErrorKind::invalid, "malformed tar archive: " + what); }

std::string_view field(std::string_view header, std::size_t offset, std::size_t size) {
  const auto text = header.substr(offset, size);
  return text.substr(0, static_cast<std::size_t>(std::find(text.begin(), text.end(), '\0') - text.begin()));
}

/// Octal text, or GNU's big-endian base-256 when the first bit is set.
std::optional<std::int64_t> number(std::string_view text) {
  if (text.empty()) return std::nullopt;
  const auto first = static_cast<unsigned char>(text.front());
  if ((first & 0x80U) != 0) {
    const bool negative = (first & 0x40U) != 0;
    std::int64_t value = negative ? -1 : 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
      auto byte = static_cast<unsigned char>(text[i]);
      if (i == 0) byte = static_cast<unsigned char>(negative ? byte | 0x80U : byte & 0x7fU);
      if (value > (std::numeric_limits<std::int64_t>::max() >> 8) || value < (std::numeric_limits<std::int64_t>::min() >> 8))
        return std::nullopt;
      value = value * 256 + byte;
    }
    return value;
  }
  while (!text.empty() && (text.front() == ' ')) text.remove_prefix(1);
  const auto end = text.find_first_of(std::string_view(" \0", 2));
  text = text.substr(0, end);
  if (text.empty()) return 0;
  std::int64_t value = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (code != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<std::int64_t> decimal(std::string_view text) {
  std::int64_t value = 0;
  const auto [stop, code] = std::from_chars(text.data(), text.data() + text.size(), value, 10);
  if (code != std::errc() || stop != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// "1350244992.023960108", "-1.5": seconds rounded down and nanoseconds.
bool pax_time(std::string_view text, std::int64_t& seconds, std::int64_t& nanoseconds) {
  const auto dot = text.find('.');
  const bool negative = text.starts_with('-');
  const auto whole = decimal(text.substr(0, dot));
  if (!whole && text.substr(0, dot) != "-0") return false;
  seconds = whole.value_or(0);
  nanoseconds = 0;
  if (dot != std::string_view::npos) {
    std::int64_t unit = 100'000'000;
    for (const char c : text.substr(dot + 1)) {
      if (c < '0' || c > '9') return false;
      nanoseconds += (c - '0') * unit;
      unit /= 10;
    }
  }
  if (negative && nanoseconds > 0) {
    seconds -= 1;
    nanoseconds = 1'000'000'000 - nanoseconds;
  }
  return true;
}

using Records = std::vector<std::pair<std::string, std::string>>;

/// "LENGTH KEY=VALUE\n" records.
Result<> parse_pax(std::string_view text, Records& records) {
  while (!text.empty()) {
    const auto space = text.find(' ');
    if (space == std::string_view::npos || space > 10) return bad("PAX record without a length");
    const auto length = decimal(text.substr(0, space));
    if (!length || *length < 0 || static_cast<std::size_t>(*length) > text.size() ||
        static_cast<std::size_t>(*length) < space + 3)
      return bad("PAX record with a wrong length");
    auto record = text.substr(space + 1, static_cast<std::size_t>(*length) - space - 1);
    if (record.back() != '\n') return bad("PAX record without an end");
    record.remove_suffix(1);
    const auto equals = record.find('=');
    if (equals == std::string_view::npos || equals == 0) return bad("PAX record without a key");
    records.emplace_back(record.substr(0, equals), record.substr(equals + 1));
    text.remove_prefix(static_cast<std::size_t>(*length));
  }
  return {};
}

TarEntry::Type type_of(char flag) {
  using Type = TarEntry::Type;
  switch (flag) {
    case '0': case '\0': case '7': case 'S': return Type::file;
    case '1': return Type::hard_link;
    case '2': return Type::symlink;
    case '3': return Type::character;
    case '4': return Type::block;
    case '5': case 'D': return Type::directory;
    case '6': return Type::fifo;
    default: return Type::unknown;
  }
}

}  // namespace

bool is_tar_header(std::string_view block) {
  if (block.size() < block_size) return false;
  block = block.substr(0, block_size);
  const auto stated = number(block.substr(148, 8));
  if (!stated) return false;
  std::int64_t plain = 0, signed_sum = 0;  // some old writers summed signed bytes
  bool zeros = true;
  for (std::size_t i = 0; i < block_size; ++i) {
    const char c = i >= 148 && i < 156 ? ' ' : block[i];
    zeros = zeros && block[i] == 0;
    plain += static_cast<unsigned char>(c);
    signed_sum += static_cast<signed char>(c);
  }
  return !zeros && (*stated == plain || *stated == signed_sum);
}

/// What PAX and GNU headers in front of an entry say about it.
struct TarReader::Extended {
  std::optional<std::string> name, link;
  Records records;
  [[nodiscard]] const std::string* get(std::string_view key) const {
    const std::string* found = nullptr;  // the last one wins
    for (const auto& [name_, value] : records)
      if (name_ == key) found = &value;
    return found;
  }
};

Result<bool> TarReader::fill() {
  if (!view_.empty()) return true;
  ASSIGN_OR_RETURN(view_, source_());
  given_ += static_cast<std::int64_t>(view_.size());
  return !view_.empty();
}

/// Fills `into`; false when the stream ended before its first byte.
Result<bool> TarReader::block(std::span<char> into) {
  for (std::size_t have = 0; have < into.size();) {
    ASSIGN_OR_RETURN(const bool more, fill());
    if (!more) {
      if (have == 0) return false;
      return bad("it ends inside a block");
    }
    const auto count = std::min(view_.size(), into.size() - have);
    std::memcpy(into.data() + have, view_.data(), count);
    view_ = view_.subspan(count);
    have += count;
  }
  return true;
}

Result<> TarReader::skip(std::int64_t count, bool may_end) {
  while (count > 0) {
    if (view_.empty() && skip_) {
      given_ += count;
      return skip_(count);
    }
    ASSIGN_OR_RETURN(const bool more, fill());
    if (!more && may_end) return {};
    if (!more) return bad("it ends inside a file");
    const auto step = std::min<std::size_t>(view_.size(), static_cast<std::size_t>(count));
    view_ = view_.subspan(step);
    count -= static_cast<std::int64_t>(step);
  }
  return {};
}

Result<std::string> TarReader::text(std::int64_t size) {
  if (size < 0 || size > extended_max) return bad("an extended header is too large");
  const auto padded = (static_cast<std::size_t>(size) + block_size - 1) / block_size * block_size;
  std::string bytes(padded, '\0');
  ASSIGN_OR_RETURN(const bool whole, block(std::span(bytes)));
  if (!whole && padded > 0) return bad("it ends inside an extended header");
  bytes.resize(static_cast<std::size_t>(size));
  return bytes;
}

Result<std::span<const char>> TarReader::data() {
  if (data_left_ == 0) return std::span<const char>();
  ASSIGN_OR_RETURN(const bool more, fill());
  if (!more) return bad("it ends inside a file");
  const auto piece = view_.first(std::min<std::size_t>(view_.size(), static_cast<std::size_t>(data_left_)));
  view_ = view_.subspan(piece.size());
  data_left_ -= static_cast<std::int64_t>(piece.size());
  return piece;
}

Result<> TarReader::drain() {
  for (;;) {
    view_ = {};
    ASSIGN_OR_RETURN(const bool more, fill());
    if (!more) return {};
  }
}

Result<bool> TarReader::next(TarEntry& entry) {
  TRY(skip(data_left_));
  TRY(skip(padding_, true));  // like Docker's reader: what is missing after the last file's bytes holds nothing
  data_left_ = padding_ = 0;
  Extended extended;
  std::array<char, block_size> bytes{};
  for (bool in_entry = false;; in_entry = true) {
    ASSIGN_OR_RETURN(const bool there, block(std::span(bytes)));
    const std::string_view header(bytes.data(), bytes.size());
    // Two zero blocks end an archive; writers that leave them out, or write one, exist and are understood by all tools.
    const bool zeros = there && header.find_first_not_of('\0') == std::string_view::npos;
    if (!there || zeros) {
      if (in_entry) return bad("it ends after an extended header");
      return false;
    }
    if (!is_tar_header(header)) return bad("a header with a wrong checksum");
    const auto size = number(header.substr(124, 12));
    if (!size || *size < 0) return bad("a header with a wrong size");
    const char flag = header[156];
    if (flag == 'x' || flag == 'X') {
      ASSIGN_OR_RETURN(const auto records, text(*size));
      TRY(parse_pax(records, extended.records));
    } else if (flag == 'g') {
      ASSIGN_OR_RETURN(const auto records, text(*size));
      TRY(parse_pax(records, global_));
      if (global_.size() > 1000) return bad("too many global PAX records");
    } else if (flag == 'L' || flag == 'K') {
      ASSIGN_OR_RETURN(auto name, text(*size));
      name.resize(static_cast<std::size_t>(std::find(name.begin(), name.end(), '\0') - name.begin()));
      (flag == 'L' ? extended.name : extended.link) = std::move(name);
    } else {
      extended.records.insert(extended.records.begin(), global_.begin(), global_.end());
      TRY(read_header(header, extended, entry));
      return true;
    }
  }
}

Result<> TarReader::read_header(std::string_view header, const Extended& extended, TarEntry& entry) {
  entry = {};
  entry.type = type_of(header[156]);
  entry.name = field(header, 0, 100);
  entry.link = field(header, 157, 100);
  // The prefix is POSIX's; GNU's header keeps other things there.
  if (header.substr(257, 6) == std::string_view("ustar\0", 6) && header[345] != 0)
    entry.name = std::string(field(header, 345, 155)) + "/" + entry.name;
  if (extended.name) entry.name = *extended.name;
  if (extended.link) entry.link = *extended.link;
  if (const auto* path = extended.get("path")) entry.name = *path;
  if (const auto* path = extended.get("linkpath")) entry.link = *path;

  auto mode = number(header.substr(100, 8)), uid = number(header.substr(108, 8)), gid = number(header.substr(116, 8));
  auto size = number(header.substr(124, 12)), mtime = number(header.substr(136, 12));
  if (const auto* value = extended.get("uid")) uid = decimal(*value);
  if (const auto* value = extended.get("gid")) gid = decimal(*value);
  if (const auto* value = extended.get("size")) size = decimal(*value);
  if (!mode || !uid || !gid || !size || !mtime) return bad("a header with a wrong number: " + entry.name);
  constexpr std::int64_t id_max = std::numeric_limits<std::uint32_t>::max() - std::int64_t{1};  // -1 means "leave it" to chown
  if (*uid < 0 || *uid > id_max || *gid < 0 || *gid > id_max) return bad("an owner out of range: " + entry.name);
  if (*size < 0 || *size > std::numeric_limits<std::int64_t>::max() / 2) return bad("a size out of range: " + entry.name);
  entry.mode = static_cast<std::uint32_t>(*mode) & 07777U;
  entry.uid = static_cast<std::uint32_t>(*uid);
  entry.gid = static_cast<std::uint32_t>(*gid);
  entry.mtime_s = *mtime;
  if (const auto* value = extended.get("mtime"); value != nullptr && !pax_time(*value, entry.mtime_s, entry.mtime_ns))
    return bad("a wrong time: " + entry.name);
  if (entry.type == TarEntry::Type::character || entry.type == TarEntry::Type::block) {
    entry.device_major = static_cast<std::uint32_t>(number(header.substr(329, 8)).value_or(0));
    entry.device_minor = static_cast<std::uint32_t>(number(header.substr(337, 8)).value_or(0));
  }
  for (const auto& [key, value] : extended.records) {
    if (key.starts_with("SCHILY.xattr.")) entry.xattrs.emplace_back(key.substr(13), value);
    if (key.starts_with("LIBARCHIVE.xattr.") && extended.get("SCHILY.xattr." + percent_decoded(key.substr(17))) == nullptr)
      entry.xattrs.emplace_back(percent_decoded(key.substr(17)), decode_base64(value));
  }
  // Links, directories and devices have no data, but old writers state a size: POSIX says to ignore it for all but files.
  const bool has_data = entry.type == TarEntry::Type::file || entry.type == TarEntry::Type::unknown;
  entry.size = has_data ? *size : 0;
  // GNU's directories of incremental backups ('D') list their names as data: to be passed by.
  if (header[156] == 'D') {
    data_left_ = *size;
    padding_ = static_cast<std::int64_t>((block_size - static_cast<std::size_t>(*size) % block_size) % block_size);
    return {};
  }
  // Before POSIX a directory was a file whose name ends in a slash.
  if (entry.type == TarEntry::Type::file && header[156] == '\0' && entry.name.ends_with('/')) entry.type = TarEntry::Type::directory;
  data_left_ = entry.size;
  padding_ = static_cast<std::int64_t>((block_size - static_cast<std::size_t>(entry.size) % block_size) % block_size);
  if (entry.type != TarEntry::Type::file) return {};
  return read_sparse(header, extended, entry);
}

Result<> TarReader::read_sparse(std::string_view header, const Extended& extended, TarEntry& entry) {
  if (header[156] == 'S') {
    TRY(read_old_sparse(header, entry));
  } else if (const auto* major = extended.get("GNU.sparse.major"); major != nullptr && *major == "1") {
    TRY(read_sparse_map(entry));
  } else if (const auto* map = extended.get("GNU.sparse.map")) {
    std::vector<std::int64_t> numbers;
    for (std::string_view rest = *map; !rest.empty();) {
      const auto comma = rest.find(',');
      const auto value = decimal(rest.substr(0, comma));
      if (!value || numbers.size() / 2 > extents_max) return bad("a wrong sparse map: " + entry.name);
      numbers.push_back(*value);
      rest = comma == std::string_view::npos ? "" : rest.substr(comma + 1);
    }
    for (std::size_t i = 0; i + 1 < numbers.size(); i += 2) entry.extents.push_back({numbers[i], numbers[i + 1]});
    entry.sparse = true;
  } else if (extended.get("GNU.sparse.numblocks") != nullptr) {
    for (const auto& [key, value] : extended.records) {
      const auto parsed = decimal(value);
      if (key != "GNU.sparse.offset" && key != "GNU.sparse.numbytes") continue;
      if (!parsed || entry.extents.size() > extents_max) return bad("a wrong sparse map: " + entry.name);
      if (key == "GNU.sparse.offset") entry.extents.push_back({*parsed, 0});
      else if (!entry.extents.empty()) entry.extents.back().size = *parsed;
    }
    entry.sparse = true;
  }
  if (!entry.sparse) return {};
  if (header[156] != 'S') {
    const auto* real = extended.get("GNU.sparse.realsize");
    if (real == nullptr) real = extended.get("GNU.sparse.size");
    const auto size = real == nullptr ? std::nullopt : decimal(*real);
    if (!size || *size < 0) return bad("a sparse file without a size: " + entry.name);
    entry.size = *size;
    if (const auto* name = extended.get("GNU.sparse.name")) entry.name = *name;
  }
  std::int64_t end = 0, total = 0;
  for (const auto& extent : entry.extents) {
    if (extent.offset < end || extent.size < 0 || extent.offset > entry.size || extent.size > entry.size - extent.offset)
      return bad("a wrong sparse map: " + entry.name);
    end = extent.offset + extent.size;
    total += extent.size;
  }
  if (total != data_left_) return bad("a sparse file whose map does not match its data: " + entry.name);
  return {};
}

/// GNU's own 'S' entries: four extents in the header, then blocks of 21.
Result<> TarReader::read_old_sparse(std::string_view header, TarEntry& entry) {
  entry.sparse = true;
  const auto real = number(header.substr(483, 12));
  if (!real || *real < 0) return bad("a sparse file without a size: " + entry.name);
  entry.size = *real;
  const auto take = [&](std::string_view table, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) {
      const auto offset = number(table.substr(i * 24, 12)), size = number(table.substr(i * 24 + 12, 12));
      if (table[i * 24] == 0 || !offset || !size) return;
      entry.extents.push_back({*offset, *size});
    }
  };
  take(header.substr(386, 96), 4);
  bool more = header[482] != 0;
  while (more) {
    std::array<char, block_size> bytes{};
    ASSIGN_OR_RETURN(const bool there, block(std::span(bytes)));
    if (!there || entry.extents.size() > extents_max) return bad("a wrong sparse map: " + entry.name);
    take(std::string_view(bytes.data(), bytes.size()), 21);
    more = bytes[504] != 0;
  }
  return {};
}

/// PAX sparse 1.0: the map is text at the start of the data, padded to a block.
Result<> TarReader::read_sparse_map(TarEntry& entry) {
  entry.sparse = true;
  std::string pending;
  std::size_t used = 0;
  const auto line = [&]() -> Result<std::int64_t> {
    for (;;) {
      if (const auto end = pending.find('\n', used); end != std::string::npos) {
        const auto value = decimal(std::string_view(pending).substr(used, end - used));
        used = end + 1;
        if (!value || *value < 0) return bad("a wrong sparse map: " + entry.name);
        return *value;
      }
      std::array<char, block_size> bytes{};
      if (data_left_ < static_cast<std::int64_t>(block_size)) return bad("a sparse map without an end: " + entry.name);
      ASSIGN_OR_RETURN(const bool there, block(std::span(bytes)));
      if (!there) return bad("it ends inside a sparse map");
      data_left_ -= static_cast<std::int64_t>(block_size);
      pending.erase(0, used);
      used = 0;
      pending.append(bytes.data(), bytes.size());
    }
  };
  ASSIGN_OR_RETURN(const auto count, line());
  if (static_cast<std::size_t>(count) > extents_max) return bad("a sparse map that is too large: " + entry.name);
  for (std::int64_t i = 0; i < count; ++i) {
    TarEntry::Extent extent;
    ASSIGN_OR_RETURN(extent.offset, line());
    ASSIGN_OR_RETURN(extent.size, line());
    entry.extents.push_back(extent);
  }
  return {};
}

}  // namespace engine::registry
