#include "engine/registry/compose_artifact.h"

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"

namespace engine::registry {
namespace {

using base::ErrorKind;
using nlohmann::json;

constexpr std::string_view project_type = "application/vnd.docker.compose.project";
constexpr std::string_view file_type = "application/vnd.docker.compose.file+yaml";
constexpr std::string_view env_file_type = "application/vnd.docker.compose.envfile";
constexpr std::string_view empty_config_type = "application/vnd.docker.compose.config.empty.v1+json";
constexpr std::size_t file_max = 16u << 20, layers_max = 256;

base::Error refused(const std::string& what) { return base::make_error(ErrorKind::invalid, what); }

std::string text_of(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::string annotation(const json& layer, const char* key) {
  const auto found = layer.find("annotations");
  return found == layer.end() ? "" : text_of(*found, key);
}

/// Everything lives in one folder: names with separators are refused.
Result<std::string> plain_name(const std::string& name) {
  if (name.empty() || name == "." || name == ".." || name.find_first_of("/\\") != std::string::npos)
    return refused("the artifact names a file '" + name + "' outside its folder");
  return name;
}

/// The manifest of the project: an index names it by its artifact type.
Result<json> project_manifest(Client& client, Fetched& top, const std::string& name) {
  json manifest = json::parse(top.bytes, nullptr, false);
  if (!manifest.is_object()) return refused(name + " is no OCI artifact");
  const auto children = manifest.find("manifests");
  if (children != manifest.end() && children->is_array()) {
    std::string digest;
    for (const json& child : *children)
      if (text_of(child, "artifactType") == project_type) digest = text_of(child, "digest");
    if (digest.empty()) return refused(name + " is an index without a Compose project");
    ASSIGN_OR_RETURN(const auto child, client.manifest(digest));
    manifest = json::parse(child.bytes, nullptr, false);
    if (!manifest.is_object()) return refused(name + " is no OCI artifact");
  }
  const std::string type = text_of(manifest, "artifactType");
  const bool project = type.empty() ? manifest.contains("config") && text_of(manifest["config"], "mediaType") == empty_config_type
                                    : type == project_type;
  if (!project) return refused(name + " is no Compose project" + (type.empty() ? "" : " but " + type));
  return manifest;
}

Result<> write_layers(Client& client, const json& manifest, const std::filesystem::path& into) {
  const auto layers = manifest.find("layers");
  if (layers == manifest.end() || !layers->is_array() || layers->size() > layers_max) return refused("the artifact has no usable layers");
  bool first = true;
  for (const json& layer : *layers) {
    const std::string type = text_of(layer, "mediaType");
    if (type != file_type && type != env_file_type) continue;
    ASSIGN_OR_RETURN(const std::string bytes, client.blob(text_of(layer, "digest"), file_max));
    std::string name = "compose.yaml", text = bytes;
    if (type == env_file_type) {
      ASSIGN_OR_RETURN(name, plain_name(annotation(layer, "com.docker.compose.envfile")));
    } else if (!annotation(layer, "com.docker.compose.extends").empty()) {
      ASSIGN_OR_RETURN(name, plain_name(annotation(layer, "com.docker.compose.file")));
    } else if (!first) {
      text = "\n---\n" + bytes;  // several files are one of several documents
    }
    if (type == file_type) first = false;
    ASSIGN_OR_RETURN(const auto file, base::sys::open(into / name, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600));
    TRY(base::sys::write_all(file.borrow(), text));
  }
  return {};
}

}  // namespace

Result<std::string> fetch_compose_artifact(const std::string& name, const std::filesystem::path& into) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  ASSIGN_OR_RETURN(const auto settings, Settings::load());
  ASSIGN_OR_RETURN(const auto endpoints, settings.endpoints(reference));
  base::Error last = base::make_error(ErrorKind::invalid, "no registry to ask for " + name);
  for (const auto& endpoint : endpoints) {
    Client client(endpoint, settings.tls(endpoint), "pull");
    auto top = client.manifest(reference.digest.empty() ? reference.tag : reference.digest);
    if (!top) {
      last = std::move(top).error();
      if (endpoint.mirror) continue;
      break;
    }
    ASSIGN_OR_RETURN(const json manifest, project_manifest(client, *top, name));
    TRY(write_layers(client, manifest, into));
    return images::sha256_digest(top->bytes);
  }
  return last;
}

}  // namespace engine::registry
