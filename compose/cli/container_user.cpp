#include "compose/cli/container_user.h"

#include <fcntl.h>
#include <linux/openat2.h>

#include <charconv>

#include "base/sys.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  for (;;) {
    const auto end = text.find(separator);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

}  // namespace

Result<ContainerUser> resolve_user(const std::string& wanted, const std::string& passwd, const std::string& group) {
  const auto colon = wanted.find(':');
  const std::string user = wanted.substr(0, colon);
  ContainerUser result;
  std::string name;
  bool found = false;
  for (const auto& line : split(passwd, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 6) continue;
    if (fields[0] != user && fields[2] != user) continue;
    name = fields[0];
    result.uid = number(fields[2]).value_or(0);
    result.gid = number(fields[3]).value_or(0);
    result.home = fields[5];
    found = true;
    break;
  }
  if (!found) {
    const auto uid = number(user);
    if (!uid) return make_error(ErrorKind::not_found, "unable to find user " + user + ": no matching entries in passwd file");
    result.uid = *uid;
  }
  const std::string wanted_group = colon == std::string::npos ? "" : wanted.substr(colon + 1);
  bool group_found = wanted_group.empty();
  for (const auto& line : split(group, '\n')) {
    const auto fields = split(line, ':');
    if (fields.size() < 4) continue;
    const auto gid = number(fields[2]);
    if (!gid) continue;
    if (!wanted_group.empty() && (fields[0] == wanted_group || fields[2] == wanted_group)) {
      result.gid = *gid;
      group_found = true;
    }
    if (!wanted_group.empty() || name.empty()) continue;
    for (const auto& member : split(fields[3], ',')) {
      if (member == name) result.groups.push_back(*gid);
    }
  }
  if (!group_found) {
    const auto gid = number(wanted_group);
    if (!gid) return make_error(ErrorKind::not_found, "unable to find group " + wanted_group + ": no matching entries in group file");
    result.gid = *gid;
  }
  return result;
}

Result<ContainerUser> resolve_user_in(pid_t pid, const std::string& wanted) {
  ASSIGN_OR_RETURN(const auto root, base::sys::open("/proc/" + std::to_string(pid) + "/root", O_PATH | O_DIRECTORY));
  const auto read = [&](const char* path) -> std::string {
    const auto file = base::sys::openat2(root.borrow(), path, O_RDONLY | O_NONBLOCK, RESOLVE_IN_ROOT);
    if (!file) return "";  // images without a passwd file know numbers only
    auto text = base::sys::read_file("/proc/self/fd/" + std::to_string(file->number()), 1 << 20);
    return text ? *text : "";
  };
  return resolve_user(wanted, read("etc/passwd"), read("etc/group"));
}

}  // namespace compose::cli
