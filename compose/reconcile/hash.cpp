// Config hashes of networks and volumes: what a later `up` compares to see that the file changed.
#include "compose/load/digest.h"
#include "compose/reconcile/desired.h"

namespace compose::reconcile {
namespace {

/// Name, length and text of each field that is not at its default: no two different specs give the same bytes.
class Fields {
 public:
  void add(std::string_view name, std::string_view value) {
    if (value.empty()) return;
    text_.append(name).append("=").append(std::to_string(value.size())).append(":").append(value).append(";");
  }
  void add(std::string_view name, const std::map<std::string, std::string>& values) {
    for (const auto& [key, value] : values) {
      add(name, key);
      add("value", value.empty() ? " " : value);
    }
  }
  [[nodiscard]] std::string sha256() const { return load::hex_sha256(text_); }

 private:
  std::string text_;
};

}  // namespace

std::string config_hash(const engine::NetworkSpec& spec) {
  Fields fields;
  fields.add("name", spec.name);
  fields.add("driver", spec.driver);
  fields.add("opt", spec.driver_opts);
  if (spec.internal) fields.add("internal", "1");
  if (!spec.enable_ipv4) fields.add("ipv4", "0");
  if (spec.enable_ipv6) fields.add("ipv6", "1");
  if (spec.attachable) fields.add("attachable", "1");
  for (const auto& subnet : spec.subnets) {
    fields.add("subnet", subnet.subnet.empty() ? " " : subnet.subnet);
    fields.add("range", subnet.ip_range);
    fields.add("gateway", subnet.gateway);
    fields.add("aux", subnet.aux_addresses);
  }
  for (const auto& [name, value] : spec.labels) {
    if (name.starts_with("com.docker.compose.")) continue;
    fields.add("label", name);
    fields.add("value", value.empty() ? " " : value);
  }
  return fields.sha256();
}

std::string config_hash(const engine::VolumeSpec& spec) {
  Fields fields;
  fields.add("name", spec.name);
  fields.add("driver", spec.driver);
  fields.add("opt", spec.driver_opts);
  for (const auto& [name, value] : spec.labels) {
    if (name.starts_with("com.docker.compose.")) continue;
    fields.add("label", name);
    fields.add("value", value.empty() ? " " : value);
  }
  return fields.sha256();
}

}  // namespace compose::reconcile
