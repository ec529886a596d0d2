#include "engine/registry/manifest.h"

#include <nlohmann/json.hpp>

#include "engine/images/image_store.h"
#include "engine/images/reference.h"

namespace engine::registry {

using base::ErrorKind;
using nlohmann::json;

namespace {

constexpr std::int64_t blob_max = std::int64_t{1} << 40;

std::string text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

base::Error bad(const std::string& why) { return base::make_error(ErrorKind::invalid, "malformed manifest: " + why); }

Result<Descriptor> descriptor(const json& value) {
  if (!value.is_object()) return bad("a descriptor is not an object");
  Descriptor result{.media_type = text(value, "mediaType"), .digest = text(value, "digest"), .size = 0, .os = "",
                    .architecture = "", .variant = "", .reference_name = ""};
  if (!images::is_digest(result.digest)) return bad("'" + result.digest.substr(0, 100) + "' is not a digest");
  const auto size = value.find("size");
  if (size == value.end() || !size->is_number_integer()) return bad("a descriptor without a size");
  result.size = size->get<std::int64_t>();
  if (result.size < 0 || result.size > blob_max) return bad("a size out of range");
  if (const auto platform = value.find("platform"); platform != value.end() && platform->is_object()) {
    result.os = text(*platform, "os");
    result.architecture = text(*platform, "architecture");
    result.variant = text(*platform, "variant");
  }
  if (const auto notes = value.find("annotations"); notes != value.end() && notes->is_object()) {
    result.reference_name = text(*notes, "io.containerd.image.name");
    if (result.reference_name.empty()) result.reference_name = text(*notes, "org.opencontainers.image.ref.name");
  }
  return result;
}

/// Which of two variants of one architecture fits better here; 0 = does not run.
int fitness(const std::string& architecture, const std::string& wanted, const std::string& offered) {
  if (architecture == "amd64") {
    const int level = offered.empty() ? 1 : std::atoi(offered.c_str() + 1);
    int most = 1;
    if (!wanted.empty()) {
      most = std::atoi(wanted.c_str() + 1);
    } else {
#if defined(__x86_64__)
      if (__builtin_cpu_supports("x86-64-v2") != 0) most = 2;
      if (__builtin_cpu_supports("x86-64-v3") != 0) most = 3;
      if (__builtin_cpu_supports("x86-64-v4") != 0) most = 4;
#endif
    }
    return level <= most ? level : 0;
  }
  if (architecture == "arm") {
    const int level = offered.empty() ? 7 : std::atoi(offered.c_str() + 1);
    const int most = wanted.empty() ? 7 : std::atoi(wanted.c_str() + 1);
    return level <= most ? level : 0;
  }
  // arm64 without a variant is v8.
  const auto plain = [](const std::string& one) { return one == "v8" ? std::string() : one; };
  if (plain(wanted) == plain(offered)) return 2;
  return wanted.empty() ? 1 : 0;
}

}  // namespace

Result<Manifest> parse_manifest(std::string_view bytes, std::string_view content_type) {
  // The callback bounds the nesting: what registries send is not ours to recurse into.
  const auto root = json::parse(bytes, [](int depth, json::parse_event_t, json&) { return depth < 64; }, false);
  if (!root.is_object()) return bad("not a JSON object");
  Manifest manifest;
  manifest.media_type = text(root, "mediaType");
  if (manifest.media_type.empty()) manifest.media_type = content_type.substr(0, content_type.find(';'));
  if (const auto version = root.find("schemaVersion"); version != root.end() && version->is_number_integer() && version->get<int>() == 1)
    return base::make_error(ErrorKind::unsupported, "the image is in Docker's schema 1 format, which registries gave up in 2019; push it again");
  if (const auto children = root.find("manifests"); children != root.end() && children->is_array()) {
    manifest.is_index = true;
    for (const auto& one : *children) {
      ASSIGN_OR_RETURN(auto child, descriptor(one));
      manifest.children.push_back(std::move(child));
    }
    return manifest;
  }
  const auto config = root.find("config"), layers = root.find("layers");
  if (config == root.end() || layers == root.end() || !layers->is_array()) return bad("neither an index nor an image");
  ASSIGN_OR_RETURN(manifest.config, descriptor(*config));
  const auto& type = manifest.config.media_type;
  if (!type.empty() && type != media::oci_config && type != media::docker_config && type != "application/octet-stream")
    return base::make_error(ErrorKind::unsupported, "it is not a container image but an artifact of type " + type);
  for (const auto& one : *layers) {
    ASSIGN_OR_RETURN(auto layer, descriptor(one));
    if (layer.media_type.ends_with("+encrypted")) return base::make_error(ErrorKind::unsupported, "the image's layers are encrypted (ocicrypt)");
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

std::string make_manifest(const Descriptor& config, const std::vector<Descriptor>& layers) {
  using ordered = nlohmann::ordered_json;
  const auto write = [](const Descriptor& one) {
    return ordered{{"mediaType", one.media_type}, {"digest", one.digest}, {"size", one.size}};
  };
  ordered root{{"schemaVersion", 2}, {"mediaType", media::oci_manifest}, {"config", write(config)}, {"layers", ordered::array()}};
  for (const auto& layer : layers) root["layers"].push_back(write(layer));
  return root.dump();
}

Result<Descriptor> choose_platform(const Manifest& index, const std::string& platform, const std::string& name) {
  const auto wanted = platform.empty() ? images::host_platform() : platform;
  const auto first = wanted.find('/'), second = wanted.find('/', first + 1);
  const auto os = wanted.substr(0, first);
  const auto architecture = first == std::string::npos ? "" : wanted.substr(first + 1, second == std::string::npos ? second : second - first - 1);
  const auto variant = second == std::string::npos ? "" : wanted.substr(second + 1);
  const Descriptor *best = nullptr, *nested = nullptr;
  int best_fitness = 0;
  std::string available;
  for (const auto& child : index.children) {
    if (child.os == "unknown") continue;  // attestations
    const auto shown = child.os + "/" + child.architecture + (child.variant.empty() ? "" : "/" + child.variant);
    if (child.os.empty() && index.children.size() == 1) return child;  // tools leave it out for the only one
    if (child.os.empty()) {  // an index within the index: what it holds is known once it is read
      if (nested == nullptr && (child.media_type == media::oci_index || child.media_type == media::docker_list)) nested = &child;
      continue;
    }
    available += (available.empty() ? "" : ", ") + shown;
    if (child.os != os || child.architecture != architecture) continue;
    const int fits = fitness(architecture, variant, child.variant);
    if (fits > best_fitness) best = &child, best_fitness = fits;
  }
  if (best != nullptr) return *best;
  if (nested != nullptr) return *nested;
  return base::make_error(ErrorKind::unsupported, "no image of " + name + " for platform " + wanted + (available.empty() ? "" : "; there are " + available));
}

}  // namespace engine::registry
