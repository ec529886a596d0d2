#include "engine/build/cache_options.h"

#include <map>

namespace engine::build {
namespace {

base::Error wrong(base::ErrorKind kind, const std::string& text, const std::string& why) {
  return base::make_error(kind, "cache \"" + text + "\": " + why);
}

}  // namespace

base::Result<CachePlace> parse_cache_place(const std::string& text, bool to) {
  using base::ErrorKind;
  CachePlace place;
  if (text.find('=') == std::string::npos) {
    if (text.empty()) return wrong(ErrorKind::invalid, text, "names no place");
    place.where = "docker://" + text;
    return place;
  }
  std::map<std::string, std::string> fields;
  for (std::size_t at = 0; at <= text.size();) {
    const std::size_t end = std::min(text.find(',', at), text.size());
    const std::string field = text.substr(at, end - at);
    const std::size_t equals = field.find('=');
    if (equals == std::string::npos) return wrong(ErrorKind::invalid, text, "'" + field + "' must be a key=value pair");
    fields[field.substr(0, equals)] = field.substr(equals + 1);
    at = end + 1;
  }
  const std::string type = fields["type"], folder_key = to ? "dest" : "src";
  if (type == "inline" && to) {
    for (const auto& [key, value] : fields)
      if (key != "type" && !(key == "mode" && value == "min"))
        return wrong(ErrorKind::unsupported, text, key == "mode" ? "an image keeps the steps of its own layers only (mode=min)" : key + " is not supported");
    place.in_image = true;
    return place;
  }
  if (type == "inline") return wrong(ErrorKind::invalid, text, "an inline cache is read from its image: type=registry,ref=IMAGE");
  if (type != "registry" && type != "local")
    return wrong(ErrorKind::unsupported, text, "type " + (type.empty() ? "is missing" : type + " is not supported") + (to ? " (registry, local or inline)" : " (registry or local)"));
  const std::string place_key = type == "registry" ? "ref" : folder_key;
  for (const auto& [key, value] : fields) {
    // What a cache of ours is anyhow; anything else cannot be had.
    const bool yes = value == "true" || value == "1";
    if (to && (((key == "image-manifest" || key == "oci-mediatypes") && yes) || (key == "compression" && value == "gzip"))) continue;
    const bool known = key == "type" || key == place_key || (key == "tag" && type == "local") || (to && (key == "mode" || key == "ignore-error"));
    if (!known) return wrong(ErrorKind::unsupported, text, key + " is not supported");
  }
  if (fields[place_key].empty()) return wrong(ErrorKind::invalid, text, place_key + " is missing");
  const std::string mode = fields["mode"], ignored = fields["ignore-error"];
  if (!mode.empty() && mode != "min" && mode != "max") return wrong(ErrorKind::invalid, text, "mode is min or max");
  place.whole = mode == "max";
  place.may_fail = ignored == "true" || ignored == "1";
  place.where = type == "registry" ? "docker://" + fields["ref"] : "oci:" + fields[folder_key] + ":" + (fields["tag"].empty() ? "latest" : fields["tag"]);
  return place;
}

}  // namespace engine::build
