#pragma once
// Cgroups made by systemd: a container is a transient scope unit that systemd delegates to us.
// Source: org.freedesktop.systemd1(5), systemd's "Control Group APIs and Delegation" (CGROUP_DELEGATION).
#include <map>
#include <string>

#include "base/result.h"
#include "runtime/spec/spec.h"

namespace runtime {

struct SystemdUnit {
  std::string name;   ///< "docker-0123.scope"
  std::string slice;  ///< "system.slice"
};

/// From cgroupsPath "SLICE:PREFIX:NAME", or the defaults for an empty one. Pure. Error invalid for another form.
base::Result<SystemdUnit> systemd_unit(const std::string& cgroups_path, const std::string& id, bool rootless);

/// A property as it goes over the wire: the type and one value.
struct UnitProperty {
  std::string name;
  char type = 's';            ///< s string, b boolean, t number of 64 bits, u of 32, x signed 64, i signed 32
  std::string text;
  std::uint64_t number = 0;
};

/// systemd's own words for the limits it manages, so that a daemon-reload keeps them. The rest is written to the files by us. Pure.
std::vector<UnitProperty> unit_properties(const spec::Resources& resources, bool unified);
/// Annotations "org.systemd.property.NAME": a GVariant's text. Pure. Error invalid naming one that is not a simple value.
base::Result<std::vector<UnitProperty>> annotated_properties(const std::map<std::string, std::string>& annotations);

/// Starts the unit around process `pid` and returns once systemd has done it. Talks to the system's manager as root and to the
/// user's otherwise. Errors: not_found without systemd.
base::Result<> start_unit(const SystemdUnit& unit, pid_t pid, const std::string& description, const std::vector<UnitProperty>& properties);
/// Changes properties until the unit ends. An empty list does nothing.
base::Result<> set_unit_properties(const std::string& unit, const std::vector<UnitProperty>& properties);
/// Stops the unit; one that is gone is success.
base::Result<> stop_unit(const std::string& unit);

/// Where systemd put a process: below the unified hierarchy, or without one below systemd's own ("0::/a", "1:name=systemd:/a"). Pure.
std::string systemd_cgroup(std::string_view proc_cgroup);

}  // namespace runtime
