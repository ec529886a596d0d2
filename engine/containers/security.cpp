#include "engine/containers/security.h"

#include <unistd.h>

#include "base/sys.h"

namespace engine::containers {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

bool apparmor_enabled() {
  const auto text = base::sys::read_file("/sys/module/apparmor/parameters/enabled");
  return text && text->starts_with('Y');
}

base::Result<bool> parse_flag(const std::string& option, const std::string& value) {
  if (value.empty() || value == "true") return true;
  if (value == "false") return false;
  return invalid("security_opt '" + option + "': expected true or false");
}

base::Result<> parse_label(const std::string& option, const std::string& value) {
  if (value == "disable" || ::access("/sys/fs/selinux/enforce", F_OK) != 0) {
    if (value == "disable") return {};
    return base::make_error(base::ErrorKind::unsupported, "security_opt '" + option + "': SELinux is not enabled on this machine");
  }
  return base::make_error(base::ErrorKind::unsupported, "security_opt '" + option + "': SELinux labels are not supported, only label=disable");
}

}  // namespace

base::Result<Security> parse_security(const std::vector<std::string>& options) {
  Security security;
  for (const auto& option : options) {
    const auto end = option.find_first_of("=:");
    const auto name = option.substr(0, end);
    const auto value = end == std::string::npos ? std::string() : option.substr(end + 1);
    if (name == "no-new-privileges") {
      ASSIGN_OR_RETURN(security.no_new_privileges, parse_flag(option, value));
    } else if (name == "writable-cgroups") {
      ASSIGN_OR_RETURN(security.writable_cgroups, parse_flag(option, value));
    } else if (name == "systempaths" && value == "unconfined") {
      security.system_paths_unconfined = true;
    } else if (name == "seccomp" && !value.empty()) {
      security.seccomp_given = true;
      security.seccomp = value == "unconfined" ? Security::Seccomp::unconfined
                         : value == "builtin"  ? Security::Seccomp::builtin
                                               : Security::Seccomp::profile;
      security.seccomp_profile = security.seccomp == Security::Seccomp::profile ? value : "";
    } else if (name == "apparmor" && !value.empty()) {
      if (value != "unconfined" && !apparmor_enabled())
        return base::make_error(base::ErrorKind::unsupported, "security_opt '" + option + "': AppArmor is not enabled on this machine");
      security.apparmor = value;
    } else if (name == "label" && !value.empty()) {
      TRY(parse_label(option, value));
    } else {
      return invalid("invalid security_opt '" + option + "'");
    }
  }
  return security;
}

}  // namespace engine::containers
