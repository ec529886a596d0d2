#include "engine/containers/user.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/sys.h"

namespace engine::containers {
namespace {

constexpr std::size_t accounts_limit_bytes = 16 << 20;

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto end = text.find(separator);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

/// A number as Docker takes it for a uid or gid: 0 to 2^31-1.
std::optional<std::uint32_t> number(std::string_view text) {
  std::uint32_t value = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size() || value > 0x7fffffff)
    return std::nullopt;
  return value;
}

/// True for text that is a number but no id.
bool out_of_range(std::string_view text) {
  return !text.empty() && !number(text) && std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

/// Calls take(fields) for each line with at least `fields_min` fields, until it returns true.
template <class Take>
bool each_line(std::string_view text, std::size_t fields_min, Take&& take) {
  for (const auto line : split(text, '\n')) {
    if (line.empty() || line.front() == '#') continue;
    const auto fields = split(line, ':');
    if (fields.size() >= fields_min && take(fields)) return true;
  }
  return false;
}

void add_group(Identity& identity, std::uint32_t gid) {
  if (std::find(identity.groups.begin(), identity.groups.end(), gid) == identity.groups.end())
    identity.groups.push_back(gid);
}

/// The gid of a group given by name or number. Numbers need not be in the file.
base::Result<std::uint32_t> find_group(std::string_view wanted, const std::string& group_file) {
  if (const auto gid = number(wanted)) return *gid;
  std::uint32_t found = 0;
  const bool known = each_line(group_file, 3, [&](const auto& fields) {
    const auto gid = number(fields[2]);
    if (fields[0] != wanted || !gid) return false;
    found = *gid;
    return true;
  });
  if (known) return found;
  if (out_of_range(wanted)) return invalid("gid " + std::string(wanted) + " is out of range");
  return invalid("unable to find group " + std::string(wanted) + ": no matching entries in group file");
}

/// Nothing when there is no such file.
base::Result<std::optional<std::string>> read_in_root(base::Fd root, const std::string& path) {
  auto file = base::sys::openat2(root, path, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  if (!file && file.error().kind == base::ErrorKind::not_found) return std::optional<std::string>();
  if (!file) return std::move(file).error();
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    ASSIGN_OR_RETURN(const auto count, base::sys::read(file->borrow(), buffer));
    if (count == 0) return std::optional(std::move(text));
    text.append(buffer.data(), count);
    if (text.size() > accounts_limit_bytes) return invalid("/" + path + " of the image is too large");
  }
}

}  // namespace

base::Result<Accounts> read_accounts(base::Fd root) {
  Accounts accounts;
  ASSIGN_OR_RETURN(const auto passwd, read_in_root(root, "etc/passwd"));
  ASSIGN_OR_RETURN(const auto group, read_in_root(root, "etc/group"));
  accounts.passwd = passwd.value_or("");
  accounts.group = group.value_or("");
  accounts.has_passwd = passwd.has_value();
  return accounts;
}

base::Result<Identity> identify(const std::string& user, const std::vector<std::string>& group_add, const Accounts& accounts) {
  const auto colon = user.find(':');
  const std::string name = user.substr(0, colon);
  const std::string group = colon == std::string::npos ? "" : user.substr(colon + 1);
  Identity identity;
  const auto wanted_uid = name.empty() ? std::optional<std::uint32_t>(0) : number(name);
  std::string matched;
  const bool known = each_line(accounts.passwd, 4, [&](const auto& fields) {
    const auto uid = number(fields[2]), gid = number(fields[3]);
    if (!uid || !gid || (wanted_uid ? *uid != *wanted_uid : fields[0] != name)) return false;
    matched = fields[0];
    identity.uid = *uid;
    identity.gid = *gid;
    if (fields.size() > 5) identity.home = fields[5];
    return true;
  });
  if (!known && !wanted_uid && out_of_range(name)) return invalid("uid " + name + " is out of range");
  if (!known && !wanted_uid) return invalid("unable to find user " + name + ": no matching entries in passwd file");
  if (!known) identity.uid = *wanted_uid;
  if (!group.empty()) {
    ASSIGN_OR_RETURN(identity.gid, find_group(group, accounts.group));
  }
  add_group(identity, identity.gid);
  if (group.empty() && !matched.empty()) {
    each_line(accounts.group, 4, [&](const auto& fields) {
      const auto gid = number(fields[2]);
      const auto members = split(fields[3], ',');
      if (gid && std::find(members.begin(), members.end(), matched) != members.end()) add_group(identity, *gid);
      return false;
    });
  }
  for (const auto& extra : group_add) {
    ASSIGN_OR_RETURN(const auto gid, find_group(extra, accounts.group));
    add_group(identity, gid);
  }
  return identity;
}

}  // namespace engine::containers
