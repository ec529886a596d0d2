#include "runtime/spec/json.h"
#include "runtime/spec/reader.h"

namespace runtime::spec {
namespace {

void read_process(const Object& from, Process& into) {
  from.read("terminal", into.terminal);
  from.object("consoleSize", [&](const Object& size) {
    into.console_size.emplace();
    size.require("height", into.console_size->height);
    size.require("width", into.console_size->width);
  });
  from.read("cwd", into.cwd);
  from.read("env", into.env);
  from.read("args", into.args);
  from.each("rlimits", [&](const Object& limit) {
    auto& item = into.rlimits.emplace_back();
    limit.require("type", item.type);
    limit.require("soft", item.soft);
    limit.require("hard", item.hard);
  });
  from.object("capabilities", [&](const Object& sets) {
    auto& caps = into.capabilities.emplace();
    sets.read("bounding", caps.bounding);
    sets.read("effective", caps.effective);
    sets.read("inheritable", caps.inheritable);
    sets.read("permitted", caps.permitted);
    sets.read("ambient", caps.ambient);
  });
  from.read("noNewPrivileges", into.no_new_privileges);
  from.read("apparmorProfile", into.apparmor_profile);
  from.read("selinuxLabel", into.selinux_label);
  from.read("oomScoreAdj", into.oom_score_adj);
  from.object("user", [&](const Object& user) {
    user.read("uid", into.user.uid);
    user.read("gid", into.user.gid);
    user.read("umask", into.user.umask);
    user.read("additionalGids", into.user.additional_gids);
  });
  from.object("scheduler", [&](const Object& scheduler) {
    auto& item = into.scheduler.emplace();
    scheduler.require("policy", item.policy);
    scheduler.read("nice", item.nice);
    scheduler.read("priority", item.priority);
    scheduler.read("flags", item.flags);
    scheduler.read("runtime", item.runtime);
    scheduler.read("deadline", item.deadline);
    scheduler.read("period", item.period);
  });
  from.object("ioPriority", [&](const Object& priority) {
    auto& item = into.io_priority.emplace();
    priority.require("class", item.class_name);
    priority.read("priority", item.priority);
  });
  from.object("execCPUAffinity", [&](const Object& affinity) {
    auto& item = into.exec_cpu_affinity.emplace();
    affinity.read("initial", item.initial);
    affinity.read("final", item.final);
  });
  if (into.cwd.empty() || into.cwd.front() != '/') from.mistake("cwd", "must be an absolute path");
  for (const std::string& variable : into.env)
    if (variable.find('=') == std::string::npos || variable.front() == '=')
      return from.mistake("env", "'" + variable + "' is not of the form NAME=VALUE");
}

void read_hooks(const Object& from, std::string_view key, std::vector<Hook>& into) {
  from.each(key, [&](const Object& hook) {
    auto& item = into.emplace_back();
    hook.require("path", item.path);
    hook.read("args", item.args);
    hook.read("env", item.env);
    hook.read("timeout", item.timeout_s);
    if (!item.path.starts_with('/')) hook.mistake("path", "must be an absolute path");
    if (item.timeout_s && *item.timeout_s <= 0) hook.mistake("timeout", "must be greater than zero");
  });
}

void read_config(const Object& from, Config& into) {
  from.require("ociVersion", into.oci_version);
  if (!into.oci_version.empty() && !into.oci_version.starts_with("1."))
    from.mistake("ociVersion", "version '" + into.oci_version + "' is not one of 1.x");
  from.object("process", [&](const Object& process) { read_process(process, into.process.emplace()); });
  from.object("root", [&](const Object& root) {
    root.require("path", into.root.path);
    root.read("readonly", into.root.readonly);
  });
  from.read("hostname", into.hostname);
  from.read("domainname", into.domainname);
  from.each("mounts", [&](const Object& mount) {
    auto& item = into.mounts.emplace_back();
    mount.require("destination", item.destination);
    mount.read("type", item.type);
    mount.read("source", item.source);
    mount.read("options", item.options);
    read_id_maps(mount, "uidMappings", item.uid_mappings);
    read_id_maps(mount, "gidMappings", item.gid_mappings);
    if (item.destination.empty()) mount.mistake("destination", "is empty");
  });
  from.object("hooks", [&](const Object& hooks) {
    read_hooks(hooks, "prestart", into.hooks.prestart);
    read_hooks(hooks, "createRuntime", into.hooks.create_runtime);
    read_hooks(hooks, "createContainer", into.hooks.create_container);
    read_hooks(hooks, "startContainer", into.hooks.start_container);
    read_hooks(hooks, "poststart", into.hooks.poststart);
    read_hooks(hooks, "poststop", into.hooks.poststop);
  });
  from.read("annotations", into.annotations);
  from.object("linux", [&](const Object& linux_object) { read_linux(linux_object, into.linux_); });
  for (const char* other : {"windows", "solaris", "vm", "zos", "freebsd"})
    if (from.has(other) && !from.has("linux"))
      from.mistake(other, "configures another platform; this runtime starts Linux containers");
}

template <class T, class Read>
base::Result<T> parse(std::string_view text, Read&& read) {
  const auto document = JsonDocument::parse(text);
  if (!document) return base::make_error(base::ErrorKind::invalid, "not valid JSON");
  Mistakes mistakes;
  const Place root{};
  T value;
  read(Object(document->root(), root, mistakes), value);
  if (mistakes.first) return std::move(*mistakes.first);
  return value;
}

}  // namespace

base::Result<Config> parse_config(std::string_view text) { return parse<Config>(text, read_config); }
base::Result<Process> parse_process(std::string_view text) { return parse<Process>(text, read_process); }
base::Result<Resources> parse_resources(std::string_view text) { return parse<Resources>(text, read_resources); }
base::Result<Seccomp> parse_seccomp(std::string_view text) { return parse<Seccomp>(text, read_seccomp); }

}  // namespace runtime::spec
