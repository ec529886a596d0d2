#include "engine/registry/compose_artifact.h"

#include <fcntl.h>

#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/encoding.h"
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"
#include "engine/registry/place.h"
#include "engine/registry/remote.h"

namespace engine::registry {
namespace {

using base::ErrorKind;
using nlohmann::json;
using ordered = nlohmann::ordered_json;

constexpr std::string_view project_type = "application/vnd.docker.compose.project";
constexpr std::string_view file_type = "application/vnd.docker.compose.file+yaml";
constexpr std::string_view env_file_type = "application/vnd.docker.compose.envfile";
constexpr std::string_view empty_config_type = "application/vnd.docker.compose.config.empty.v1+json";
constexpr std::string_view empty_type = "application/vnd.oci.empty.v1+json";
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

namespace {

/// A descriptor that carries what it describes (image-spec descriptor.md, "data").
ordered embedded(std::string_view type, std::string_view bytes, ordered annotations) {
  ordered one{{"mediaType", type}, {"digest", images::sha256_digest(bytes)}, {"size", bytes.size()}};
  if (!annotations.empty()) one["annotations"] = std::move(annotations);
  one["data"] = encode_base64(bytes);
  return one;
}

ordered layer_of(const ComposeArtifact::File& file, const std::string& version) {
  const bool environment = file.kind == ComposeArtifact::Kind::environment;
  ordered annotations;
  if (file.kind == ComposeArtifact::Kind::extended) annotations["com.docker.compose.extends"] = "true";
  annotations[environment ? "com.docker.compose.envfile" : "com.docker.compose.file"] = file.name;
  annotations["com.docker.compose.version"] = version;
  return embedded(environment ? env_file_type : file_type, file.bytes, std::move(annotations));
}

class Publisher {
 public:
  Publisher(const images::Reference& reference, Client& client, const ComposeArtifact& artifact)
      : reference_(reference), client_(client), artifact_(artifact) {}

  Result<std::string> run() {
    TRY(upload("{}"));
    for (const auto& file : artifact_.files) TRY(upload(file.bytes));
    auto manifest = put(artifact_.oci_version != "1.0");
    // A registry from before OCI 1.1 may refuse what it does not know.
    if (!manifest && artifact_.oci_version.empty() && (manifest.error().kind == ErrorKind::invalid || manifest.error().kind == ErrorKind::not_found))
      manifest = put(false);
    if (!manifest) return std::move(manifest).error();
    if (!artifact_.images.empty()) TRY(put_images(*manifest));
    return text_of(*manifest, "digest");
  }

 private:
  Result<> upload(const std::string& bytes) {
    const auto digest = images::sha256_digest(bytes);
    ASSIGN_OR_RETURN(const bool there, client_.has_blob(digest));
    return there ? Result<>() : client_.upload_bytes(digest, bytes);
  }

  /// Returns the manifest's descriptor.
  Result<ordered> put(bool typed) {
    ordered manifest{{"schemaVersion", 2}, {"mediaType", media::oci_manifest}};
    if (typed) manifest["artifactType"] = project_type;
    manifest["config"] = embedded(typed ? empty_type : empty_config_type, "{}", {});
    manifest["layers"] = ordered::array();
    for (const auto& file : artifact_.files) manifest["layers"].push_back(layer_of(file, artifact_.compose_version));
    manifest["annotations"] = {{"org.opencontainers.image.created", images::format_time(store::now_ns() / 1'000'000'000 * 1'000'000'000)}};
    const auto bytes = manifest.dump();
    TRY(client_.put_manifest(reference_.tag, bytes, std::string(media::oci_manifest)));
    ordered descriptor{{"mediaType", media::oci_manifest}, {"digest", images::sha256_digest(bytes)}, {"size", bytes.size()},
                       {"annotations", {{"com.docker.compose.version", artifact_.compose_version}}}};
    if (typed) descriptor["artifactType"] = project_type;
    return descriptor;
  }

  /// The images beside the artifact, byte for byte, and an index of them that refers to it.
  Result<> put_images(const ordered& subject) {
    auto list = ordered::array();
    for (const auto& image : artifact_.images) {
      ASSIGN_OR_RETURN(const auto from, images::parse_reference(image));
      ASSIGN_OR_RETURN(const auto place, open_place("docker://" + image, "pull"));
      ASSIGN_OR_RETURN(const auto top, place->manifest(""));
      TRY(copy_image("docker://" + from.name() + "@" + top.digest, "docker://" + reference_.name() + "@" + top.digest, {.platform = "", .progress = {}}));
      list.push_back({{"mediaType", top.media_type.substr(0, top.media_type.find(';'))}, {"digest", top.digest}, {"size", top.bytes.size()},
                      {"annotations", {{"containerd.io/distribution.source." + from.domain, from.path}}}});
    }
    const ordered index{{"schemaVersion", 2}, {"mediaType", media::oci_index}, {"manifests", std::move(list)}, {"subject", subject},
                        {"annotations", {{"com.docker.compose.version", artifact_.compose_version}}}};
    const auto bytes = index.dump();
    return client_.put_manifest(images::sha256_digest(bytes), bytes, std::string(media::oci_index));
  }

  const images::Reference& reference_;
  Client& client_;
  const ComposeArtifact& artifact_;
};

}  // namespace

Result<std::string> publish_compose_artifact(const std::string& name, const ComposeArtifact& artifact) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  if (!reference.digest.empty()) return base::make_error(ErrorKind::invalid, "cannot publish to a digest: '" + name + "'");
  if (!artifact.oci_version.empty() && artifact.oci_version != "1.0" && artifact.oci_version != "1.1")
    return base::make_error(ErrorKind::invalid, "unsupported OCI version: " + artifact.oci_version);
  ASSIGN_OR_RETURN(const auto client, open_origin(reference, "pull,push"));
  return Publisher(reference, *client, artifact).run();
}

}  // namespace engine::registry
