#pragma once
// One function per verb: its flags, and what it does with them. Each returns the exit code.
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "runtime/oci/options.h"

namespace runtime::oci {

/// Who makes cgroups and writes limits.
enum class CgroupManager : unsigned char {
  direct,    ///< this program (cgroupfs)
  systemd,   ///< systemd makes a scope and manages what it can; the rest is written by us
  disabled,  ///< nobody: the container stays in its caller's cgroups and has no limits
};

/// The flags before the verb.
struct Global {
  std::string root;
  bool root_given = false;
  CgroupManager cgroups = CgroupManager::direct;
};

struct Verb {
  std::string_view name, usage, help;
  std::span<const Flag> flags;
  bool stop_at_positional;   ///< what follows the first word belongs to the container's command
  std::size_t positional_min, positional_max;
  base::Result<int> (*run)(const Global&, const Arguments&);
};

std::span<const Verb> verbs();

base::Result<int> verb_create(const Global& global, const Arguments& arguments);
base::Result<int> verb_run(const Global& global, const Arguments& arguments);
base::Result<int> verb_start(const Global& global, const Arguments& arguments);
base::Result<int> verb_exec(const Global& global, const Arguments& arguments);
base::Result<int> verb_state(const Global& global, const Arguments& arguments);
base::Result<int> verb_list(const Global& global, const Arguments& arguments);
base::Result<int> verb_ps(const Global& global, const Arguments& arguments);
base::Result<int> verb_kill(const Global& global, const Arguments& arguments);
base::Result<int> verb_delete(const Global& global, const Arguments& arguments);
base::Result<int> verb_pause(const Global& global, const Arguments& arguments);
base::Result<int> verb_resume(const Global& global, const Arguments& arguments);
base::Result<int> verb_update(const Global& global, const Arguments& arguments);
base::Result<int> verb_events(const Global& global, const Arguments& arguments);
base::Result<int> verb_spec(const Global& global, const Arguments& arguments);
base::Result<int> verb_features(const Global& global, const Arguments& arguments);
base::Result<int> verb_init(const Global& global, const Arguments& arguments);
base::Result<int> verb_refused(const Global& global, const Arguments& arguments);

}  // namespace runtime::oci
