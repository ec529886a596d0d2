// Seccomp profiles as users write them for Docker: moby's format (archMap, includes, excludes), of which OCI's is a part.
// Source: moby profiles/seccomp/seccomp_linux.go, setupSeccomp.
#include <sys/utsname.h>

#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/reader.h"

namespace runtime::spec::docker {
namespace {

#if defined(__x86_64__)
constexpr std::string_view go_arch = "amd64", seccomp_arch = "SCMP_ARCH_X86_64";
#elif defined(__aarch64__)
constexpr std::string_view go_arch = "arm64", seccomp_arch = "SCMP_ARCH_AARCH64";
#else
#error "name this architecture"
#endif

struct Condition {
  std::vector<std::string> caps, arches;
  std::string min_kernel;
};

Condition read_condition(const Object& from, std::string_view key) {
  Condition out;
  from.object(key, [&](const Object& condition) {
    condition.read("caps", out.caps);
    condition.read("arches", out.arches);
    condition.read("minKernel", out.min_kernel);
  });
  return out;
}

/// "4.8" as a number to compare.
long version_number(const std::string& text) {
  char* end = nullptr;
  const long major = std::strtol(text.c_str(), &end, 10);
  const long minor = *end == '.' ? std::strtol(end + 1, nullptr, 10) : 0;
  return major * 1000 + minor;
}

long running_kernel() {
  utsname names{};
  ::uname(&names);
  return version_number(names.release);
}

bool contains(const std::vector<std::string>& list, std::string_view item) { return std::ranges::find(list, item) != list.end(); }

/// Whether a rule with these conditions is for this container. `includes` must all hold, none of `excludes` may.
bool applies(const Condition& includes, const Condition& excludes, const std::vector<std::string>& capabilities) {
  if (contains(excludes.arches, go_arch)) return false;
  if (std::ranges::any_of(excludes.caps, [&](const auto& cap) { return contains(capabilities, cap); })) return false;
  if (!excludes.min_kernel.empty() && running_kernel() >= version_number(excludes.min_kernel)) return false;
  if (!includes.arches.empty() && !contains(includes.arches, go_arch)) return false;
  if (!std::ranges::all_of(includes.caps, [&](const auto& cap) { return contains(capabilities, cap); })) return false;
  return includes.min_kernel.empty() || running_kernel() >= version_number(includes.min_kernel);
}

void read_architectures(const Object& from, Seccomp& into) {
  from.read("architectures", into.architectures);
  if (from.has("archMap") && !into.architectures.empty())
    return from.mistake("archMap", "excludes 'architectures'");
  from.each("archMap", [&](const Object& entry) {
    std::string name;
    std::vector<std::string> below;
    entry.require("architecture", name);
    entry.read("subArchitectures", below);
    if (name != seccomp_arch) return;
    into.architectures = {name};
    into.architectures.insert(into.architectures.end(), below.begin(), below.end());
  });
}

void read_rule(const Object& from, const std::vector<std::string>& capabilities, Seccomp& into) {
  SeccompRule rule;
  std::string name;
  from.read("name", name);
  from.read("names", rule.names);
  if (!name.empty() && !rule.names.empty()) return from.mistake("name", "excludes 'names'");
  if (!name.empty()) rule.names.push_back(name);
  if (rule.names.empty()) return from.mistake("names", "missing");
  from.require("action", rule.action);
  from.read("errnoRet", rule.errno_ret);
  from.each("args", [&](const Object& argument) {
    auto& compare = rule.args.emplace_back();
    argument.read("index", compare.index);
    argument.read("value", compare.value);
    argument.read("valueTwo", compare.value_two);
    argument.require("op", compare.op);
  });
  if (applies(read_condition(from, "includes"), read_condition(from, "excludes"), capabilities))
    into.syscalls.push_back(std::move(rule));
}

}  // namespace

base::Result<Seccomp> seccomp_from_profile(std::string_view text, const std::vector<std::string>& capabilities) {
  const auto document = JsonDocument::parse(text);
  if (!document) return base::make_error(base::ErrorKind::invalid, "not valid JSON");
  Mistakes mistakes;
  const Place place{};
  const Object from(document->root(), place, mistakes);
  Seccomp out;
  from.require("defaultAction", out.default_action);
  from.read("defaultErrnoRet", out.default_errno_ret);
  from.read("flags", out.flags);
  from.read("listenerPath", out.listener_path);
  from.read("listenerMetadata", out.listener_metadata);
  read_architectures(from, out);
  from.each("syscalls", [&](const Object& rule) { read_rule(rule, capabilities, out); });
  if (mistakes.first) return std::move(*mistakes.first);
  return out;
}

}  // namespace runtime::spec::docker
