#pragma once
// JSON of the vocabulary: on the API socket and in the store. Members at their default are left out, unknown ones ignored,
// so an older and a newer program understand each other. Durations are nanoseconds; enums are words.
#include <string>
#include <string_view>

#include "base/result.h"
#include "engine/api/outcome.h"
#include "engine/api/plan.h"
#include "engine/api/types.h"

namespace engine {

/// One line of JSON, keys in alphabetical order: equal values give equal text. Invalid UTF-8 is replaced by U+FFFD.
std::string to_json(const ContainerSpec& value);
std::string to_json(const NetworkSpec& value);
std::string to_json(const VolumeSpec& value);
std::string to_json(const ContainerInfo& value);
std::string to_json(const NetworkInfo& value);
std::string to_json(const VolumeInfo& value);
std::string to_json(const Snapshot& value);
std::string to_json(const Plan& value);
std::string to_json(const Progress& value);
std::string to_json(const Event& value);
std::string to_json(const Outcome& value);
std::string to_json(const base::Error& value);
// Parts that are columns of the store.
std::string to_json(const std::vector<Endpoint>& value);
std::string to_json(const std::vector<PortBinding>& value);
std::string to_json(const std::vector<HealthProbe>& value);
std::string to_json(const std::vector<SubnetSpec>& value);
std::string to_json(const std::vector<std::string>& value);
std::string to_json(const std::map<std::string, std::string>& value);

/// The inverse: from_json<ContainerSpec>(text). Error: invalid, naming the member of the wrong type.
/// Lists and maps take "" as empty: what a column holds before it is first written.
template <class T>
base::Result<T> from_json(std::string_view text);
template <> base::Result<ContainerSpec> from_json(std::string_view text);
template <> base::Result<NetworkSpec> from_json(std::string_view text);
template <> base::Result<VolumeSpec> from_json(std::string_view text);
template <> base::Result<ContainerInfo> from_json(std::string_view text);
template <> base::Result<NetworkInfo> from_json(std::string_view text);
template <> base::Result<VolumeInfo> from_json(std::string_view text);
template <> base::Result<Snapshot> from_json(std::string_view text);
template <> base::Result<Plan> from_json(std::string_view text);
template <> base::Result<Progress> from_json(std::string_view text);
template <> base::Result<Event> from_json(std::string_view text);
template <> base::Result<Outcome> from_json(std::string_view text);
template <> base::Result<base::Error> from_json(std::string_view text);
template <> base::Result<std::vector<Endpoint>> from_json(std::string_view text);
template <> base::Result<std::vector<PortBinding>> from_json(std::string_view text);
template <> base::Result<std::vector<HealthProbe>> from_json(std::string_view text);
template <> base::Result<std::vector<SubnetSpec>> from_json(std::string_view text);
template <> base::Result<std::vector<std::string>> from_json(std::string_view text);
template <> base::Result<std::map<std::string, std::string>> from_json(std::string_view text);

/// created | running | paused | restarting | exited | dead: Docker's words.
std::string_view to_string(ContainerState state);
/// none | starting | healthy | unhealthy
std::string_view to_string(HealthState state);

}  // namespace engine
