// config.json, exec's process, update's resources and state.json: whatever the bytes, parsing ends with a value or an error, and a
// value that was parsed can be written and parsed again. Mount, cgroup and seccomp plans must take every parsed value.
#include <cstdlib>
#include <string_view>

#include "runtime/linux/cgroup_plan.h"
#include "runtime/linux/mount_plan.h"
#include "runtime/oci/state.h"
#include "runtime/spec/docker_defaults.h"
#include "runtime/spec/json.h"

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto config = runtime::spec::parse_config(text)) {
    const auto again = runtime::spec::parse_config(runtime::spec::to_json(*config));
    if (!again || runtime::spec::to_json(*again) != runtime::spec::to_json(*config)) std::abort();
    (void)runtime::plan_mounts(*config).has_value();
    if (config->linux_.resources) {
      const auto host = runtime::parse_cgroup_mounts("1 2 0:3 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
      (void)runtime::plan_cgroup(host, "/x", *config->linux_.resources).has_value();
    }
  }
  (void)runtime::spec::parse_process(text).has_value();
  (void)runtime::spec::parse_resources(text).has_value();
  (void)runtime::oci::parse_record(text).has_value();
  (void)runtime::spec::docker::seccomp_from_profile(text, {"CAP_CHOWN"}).has_value();
  return 0;
}
