#include "engine/api/fields.h"
#include "engine/api/types_json.h"

namespace engine::codec {

CODEC_FIELDS(action::CreateNetwork, F(spec))
CODEC_FIELDS(action::RemoveNetwork, F(name))
CODEC_FIELDS(action::CreateVolume, F(spec))
CODEC_FIELDS(action::RemoveVolume, F(name))
CODEC_FIELDS(action::CreateContainer, F(spec))
CODEC_FIELDS(action::RecreateContainer, F(spec) F(old_id) F(timeout))
CODEC_FIELDS(action::StartContainer, F(name))
CODEC_FIELDS(action::StopContainer, F(name) F(timeout))
CODEC_FIELDS(action::RestartContainer, F(name) F(timeout))
CODEC_FIELDS(action::KillContainer, F(name) F(signal))
CODEC_FIELDS(action::PauseContainer, F(name))
CODEC_FIELDS(action::UnpauseContainer, F(name))
CODEC_FIELDS(action::RemoveContainer, F(name) F(volumes) F(force))
CODEC_FIELDS(action::WaitContainer, F(name) F(condition) F(timeout))
CODEC_FIELDS(action::ConnectNetwork, F(container) F(attachment))
CODEC_FIELDS(action::DisconnectNetwork, F(container) F(network))
CODEC_FIELDS(action::RemoveImage, F(reference))

namespace {
/// The word of each alternative of Action, in its order.
constexpr std::array action_words{
    "create_network",    "remove_network",    "create_volume",      "remove_volume",   "create_container", "recreate_container",
    "start_container",   "stop_container",    "restart_container",  "kill_container",  "pause_container",  "unpause_container",
    "remove_container",  "wait_container",    "connect_network",    "disconnect_network", "remove_image"};
static_assert(action_words.size() == std::variant_size_v<Action>);

template <std::size_t index = 0>
void decode_action(const std::string& word, const json& from, Action& value) {
  if constexpr (index == std::variant_size_v<Action>) {
    throw std::invalid_argument("unknown action '" + word + "'");
  } else {
    if (word != action_words[index]) return decode_action<index + 1>(word, from, value);
    decode(from, value.emplace<index>());
  }
}
}  // namespace

template <>
json encode(const Action& value) {
  json out = std::visit([](const auto& action) { return encode_fields(action); }, value);
  out["type"] = action_words[value.index()];
  return out;
}

template <>
void decode(const json& from, Action& value) {
  if (!from.is_object() || !from.contains("type") || !from["type"].is_string())
    throw std::invalid_argument("no type");
  decode_action(from["type"].get<std::string>(), from, value);
}

template <>
json encode(const base::Error& value) {
  json out{{"kind", base::to_string(value.kind)}, {"message", value.message}};
  if (value.number) out["errno"] = value.number;
  if (!value.context.empty()) out["context"] = value.context;
  return out;
}

template <>
void decode(const json& from, base::Error& value) {
  if (!from.is_object()) throw std::invalid_argument("not an error");
  value.kind = base::error_kind_from(from.value("kind", std::string()));
  value.message = from.value("message", std::string());
  value.number = from.value("errno", 0);
  value.context = from.value("context", std::vector<std::string>());
}

/// The action is always written: it has no default worth leaving out.
template <>
json encode(const Step& value) {
  json out{{"action", encode(value.action)}, {"reason", value.reason}};
  if (value.hazard != Hazard::none) out["hazard"] = encode(value.hazard);
  if (!value.after.empty()) out["after"] = value.after;
  if (value.optional) out["optional"] = true;
  return out;
}

CODEC_FIELDS(Step, F(action) F(reason) F(hazard) F(after) F(optional))
CODEC_FIELDS(Plan, F(steps) F(generation_json) F(again))
CODEC_FIELDS(Progress, F(object) F(name) F(status) F(error) F(step))
CODEC_FIELDS(Event, F(time_ns) F(type) F(action) F(id) F(attributes))
CODEC_FIELDS(StepError, F(step) F(object) F(name) F(error))
CODEC_FIELDS(Outcome, F(errors) F(warnings) F(done) F(skipped) F(cancelled) F(generation))

}  // namespace engine::codec

namespace engine {

// clang-format off
#define BOTH_WAYS(Type, what)                                                                       \
  std::string to_json(const Type& value) { return codec::text(codec::encode(value)); }              \
  template <> base::Result<Type> from_json(std::string_view text) { return codec::parse<Type>(text, what); }

BOTH_WAYS(Plan, "plan")
BOTH_WAYS(Progress, "progress")
BOTH_WAYS(Event, "event")
BOTH_WAYS(Outcome, "outcome")
BOTH_WAYS(base::Error, "error")
// clang-format on

}  // namespace engine
