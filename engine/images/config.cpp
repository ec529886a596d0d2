#include "engine/images/config.h"

#include <map>
#include <set>

#include <nlohmann/json.hpp>

#include "engine/images/reference.h"

namespace engine::images {

namespace {

using nlohmann::json;
using ordered = nlohmann::ordered_json;

/// The member if it is there and not null. Docker writes null for most empty members.
const json* member(const json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::string text(const json& object, const char* key) {
  const auto* value = member(object, key);
  return value == nullptr ? std::string() : value->get<std::string>();
}

std::optional<std::vector<std::string>> list(const json& object, const char* key) {
  const auto* value = member(object, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_string()) return std::vector{value->get<std::string>()};  // written by very old builders
  return value->get<std::vector<std::string>>();
}

/// {"80/tcp": {}} → the keys.
std::vector<std::string> keys(const json& object, const char* key) {
  std::vector<std::string> all;
  if (const auto* value = member(object, key); value != nullptr) {
    if (value->is_array()) return value->get<std::vector<std::string>>();
    for (const auto& [name, ignored] : value->items()) all.push_back(name);
  }
  return all;
}

std::optional<HealthSpec> health(const json& config) {
  const auto* value = member(config, "Healthcheck");
  if (value == nullptr) return std::nullopt;
  HealthSpec spec;
  spec.test = list(*value, "Test").value_or(std::vector<std::string>{});
  const auto duration = [&](const char* key) -> std::optional<Nanoseconds> {
    const auto* number = member(*value, key);
    if (number == nullptr || number->get<std::int64_t>() == 0) return std::nullopt;
    return Nanoseconds(number->get<std::int64_t>());
  };
  spec.interval = duration("Interval");
  spec.timeout = duration("Timeout");
  spec.start_period = duration("StartPeriod");
  spec.start_interval = duration("StartInterval");
  if (const auto* retries = member(*value, "Retries"); retries != nullptr && retries->get<int>() != 0)
    spec.retries = retries->get<int>();
  return spec;
}

History history_entry(const json& value) {
  History entry{.created = text(value, "created"), .created_by = text(value, "created_by"),
                .author = text(value, "author"), .comment = text(value, "comment"), .empty_layer = false};
  if (const auto* flag = member(value, "empty_layer"); flag != nullptr) entry.empty_layer = flag->get<bool>();
  return entry;
}

void read_inner(const json& config, ImageConfig& image) {
  image.user = text(config, "User");
  image.working_dir = text(config, "WorkingDir");
  image.stop_signal = text(config, "StopSignal");
  if (const auto* seconds = member(config, "StopTimeout"); seconds != nullptr) image.stop_timeout_s = seconds->get<int>();
  image.entrypoint = list(config, "Entrypoint");
  image.cmd = list(config, "Cmd");
  image.env = list(config, "Env").value_or(std::vector<std::string>{});
  image.exposed_ports = keys(config, "ExposedPorts");
  image.volumes = keys(config, "Volumes");
  if (const auto* labels = member(config, "Labels"); labels != nullptr) image.labels = labels->get<Labels>();
  image.shell = list(config, "Shell").value_or(std::vector<std::string>{});
  image.on_build = list(config, "OnBuild").value_or(std::vector<std::string>{});
  image.healthcheck = health(config);
  if (const auto* flag = member(config, "ArgsEscaped"); flag != nullptr) image.args_escaped = flag->get<bool>();
}

ImageConfig read(const json& root) {
  ImageConfig image;
  image.os = text(root, "os");
  image.architecture = text(root, "architecture");
  image.variant = text(root, "variant");
  image.os_version = text(root, "os.version");
  image.created = text(root, "created");
  image.author = text(root, "author");
  if (const auto* config = member(root, "config"); config != nullptr) read_inner(*config, image);
  if (const auto* entries = member(root, "history"); entries != nullptr)
    for (const auto& entry : *entries) image.history.push_back(history_entry(entry));
  if (const auto* rootfs = member(root, "rootfs"); rootfs != nullptr)
    image.diff_ids = list(*rootfs, "diff_ids").value_or(std::vector<std::string>{});
  return image;
}

/// As it will be written: what is no UTF-8 becomes U+FFFD. Keys are made so before they are put in order, or two of them could
/// become one, or stand where no reader of the file would put them.
std::string written(const std::string& text) {
  return json::parse(json(text).dump(-1, ' ', false, json::error_handler_t::replace)).get<std::string>();
}

ordered set_of(const std::vector<std::string>& names) {
  std::set<std::string> keys;
  for (const auto& name : names) keys.insert(written(name));
  auto object = ordered::object();
  for (const auto& key : keys) object[key] = ordered::object();
  return object;
}

std::map<std::string, std::string> written_keys(const std::map<std::string, std::string>& all) {
  std::map<std::string, std::string> keys;
  for (const auto& [key, value] : all) keys.emplace(written(key), value);
  return keys;
}

ordered write_inner(const ImageConfig& image) {
  auto config = ordered::object();
  if (!image.user.empty()) config["User"] = image.user;
  if (!image.exposed_ports.empty()) config["ExposedPorts"] = set_of(image.exposed_ports);
  if (!image.env.empty()) config["Env"] = image.env;
  if (image.entrypoint) config["Entrypoint"] = *image.entrypoint;
  if (image.cmd) config["Cmd"] = *image.cmd;
  if (image.healthcheck) {
    auto spec = ordered::object();
    const auto& check = *image.healthcheck;
    if (!check.test.empty()) spec["Test"] = check.test;
    if (check.interval) spec["Interval"] = check.interval->count();
    if (check.timeout) spec["Timeout"] = check.timeout->count();
    if (check.start_period) spec["StartPeriod"] = check.start_period->count();
    if (check.start_interval) spec["StartInterval"] = check.start_interval->count();
    if (check.retries) spec["Retries"] = *check.retries;
    config["Healthcheck"] = std::move(spec);
  }
  if (!image.volumes.empty()) config["Volumes"] = set_of(image.volumes);
  if (!image.working_dir.empty()) config["WorkingDir"] = image.working_dir;
  if (!image.on_build.empty()) config["OnBuild"] = image.on_build;
  if (!image.labels.empty()) config["Labels"] = written_keys(image.labels);
  if (!image.stop_signal.empty()) config["StopSignal"] = image.stop_signal;
  if (image.stop_timeout_s) config["StopTimeout"] = *image.stop_timeout_s;
  if (!image.shell.empty()) config["Shell"] = image.shell;
  if (image.args_escaped) config["ArgsEscaped"] = true;
  return config;
}

}  // namespace

std::string ImageConfig::platform() const {
  std::string all = os + "/" + architecture;
  if (!variant.empty()) all += "/" + variant;
  return all;
}

Result<ImageConfig> parse_config(std::string_view bytes) {
  try {
    const auto root = json::parse(bytes);
    if (!root.is_object()) return base::make_error(base::ErrorKind::invalid, "image config is not a JSON object");
    auto image = read(root);
    for (const auto& diff : image.diff_ids)
      if (!is_digest(diff)) return base::make_error(base::ErrorKind::invalid, "image config: '" + diff + "' is not a digest");
    return image;
  } catch (const json::exception& error) {
    return base::make_error(base::ErrorKind::invalid, std::string("image config: ") + error.what());
  }
}

std::string to_json(const ImageConfig& image) {
  auto root = ordered::object();
  root["architecture"] = image.architecture;
  if (!image.author.empty()) root["author"] = image.author;
  root["config"] = write_inner(image);
  if (!image.created.empty()) root["created"] = image.created;
  root["history"] = ordered::array();
  for (const auto& entry : image.history) {
    auto value = ordered::object();
    if (!entry.created.empty()) value["created"] = entry.created;
    if (!entry.created_by.empty()) value["created_by"] = entry.created_by;
    if (!entry.author.empty()) value["author"] = entry.author;
    if (!entry.comment.empty()) value["comment"] = entry.comment;
    if (entry.empty_layer) value["empty_layer"] = true;
    root["history"].push_back(std::move(value));
  }
  root["os"] = image.os;
  if (!image.os_version.empty()) root["os.version"] = image.os_version;
  root["rootfs"] = {{"type", "layers"}, {"diff_ids", image.diff_ids}};
  if (!image.variant.empty()) root["variant"] = image.variant;
  return root.dump(-1, ' ', false, ordered::error_handler_t::replace);
}

}  // namespace engine::images
