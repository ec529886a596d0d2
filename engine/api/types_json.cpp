#include "engine/api/types_json.h"

#include "engine/api/fields.h"

namespace engine {

// clang-format off
#define BOTH_WAYS(Type, what)                                                                       \
  std::string to_json(const Type& value) { return codec::text(codec::encode(value)); }              \
  template <> base::Result<Type> from_json(std::string_view text) { return codec::parse<Type>(text, what); }

BOTH_WAYS(ContainerSpec, "container specification")
BOTH_WAYS(NetworkSpec, "network specification")
BOTH_WAYS(VolumeSpec, "volume specification")
BOTH_WAYS(ContainerInfo, "container")
BOTH_WAYS(NetworkInfo, "network")
BOTH_WAYS(VolumeInfo, "volume")
BOTH_WAYS(Snapshot, "snapshot")
BOTH_WAYS(std::vector<Endpoint>, "endpoints")
BOTH_WAYS(std::vector<PortBinding>, "ports")
BOTH_WAYS(std::vector<HealthProbe>, "health log")
BOTH_WAYS(std::vector<SubnetSpec>, "subnets")
BOTH_WAYS(std::vector<std::string>, "list of strings")
using StringMap = std::map<std::string, std::string>;
BOTH_WAYS(StringMap, "map of strings")
// clang-format on

std::string_view to_string(ContainerState state) {
  return codec::Words<ContainerState>::words[static_cast<std::size_t>(state)];
}
std::string_view to_string(HealthState state) {
  return codec::Words<HealthState>::words[static_cast<std::size_t>(state)];
}

}  // namespace engine
