#include "runtime/oci/state.h"
#include "runtime/spec/reader.h"

namespace runtime::oci {

base::Result<ContainerRecord> parse_record(std::string_view text) {
  const auto document = spec::JsonDocument::parse(text);
  if (!document) return base::make_error(base::ErrorKind::invalid, "not valid JSON");
  spec::Mistakes mistakes;
  const spec::Place place{};
  const spec::Object from(document->root(), place, mistakes);
  ContainerRecord record;
  int format = 0;
  from.require("format", format);
  if (format != 1) from.mistake("format", "written by another version of this program");
  from.require("id", record.id);
  from.read("ociVersion", record.oci_version);
  from.require("pid", record.pid);
  from.require("startTime", record.start_time);
  from.read("bundle", record.bundle);
  from.read("rootfs", record.rootfs);
  from.read("created", record.created);
  from.read("cgroupPath", record.cgroup_path);
  from.read("cgroupPaths", record.cgroup_paths);
  from.read("namespaces", record.namespaces);
  from.read("annotations", record.annotations);
  from.read("owner", record.owner);
  from.read("noPivot", record.no_pivot);
  from.read("rootMount", record.root_mount);
  from.read("unit", record.unit);
  if (mistakes.first) return std::move(*mistakes.first);
  return record;
}

}  // namespace runtime::oci
