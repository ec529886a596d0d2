#include "engine/registry/remote.h"

#include <nlohmann/json.hpp>
#include <set>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/blobs.h"
#include "engine/registry/client.h"
#include "engine/registry/layer_fetch.h"
#include "engine/registry/manifest.h"
#include "engine/registry/place.h"

namespace engine::registry {

using base::ErrorKind;
using nlohmann::json;
using ordered = nlohmann::ordered_json;

namespace {

constexpr std::size_t config_max = 8u << 20;
constexpr std::size_t tags_max = 1'000'000;
constexpr int index_depth_max = 4;

/// "</v2/x/tags/list?last=b&n=2>; rel="next"" → the address.
std::string next_page(const std::string& link) {
  const auto open = link.find('<'), close = link.find('>');
  if (open == std::string::npos || close == std::string::npos || link.find("rel=\"next\"") == std::string::npos) return "";
  return link.substr(open + 1, close - open - 1);
}

/// The blobs and children any manifest names, whatever it is: images, attestations, artifacts.
struct Parts {
  std::vector<Descriptor> blobs, children;
};

Result<Parts> parts_of(const Fetched& manifest) {
  const auto root = json::parse(manifest.bytes, nullptr, false);
  if (!root.is_object()) return base::make_error(ErrorKind::invalid, "manifest " + manifest.digest + ": not a JSON object");
  Parts parts;
  const auto take = [&](const json& one, std::vector<Descriptor>& list) -> Result<> {
    Descriptor descriptor;
    if (!one.is_object()) return base::make_error(ErrorKind::invalid, "manifest " + manifest.digest + ": malformed");
    if (const auto urls = one.find("urls"); urls != one.end()) return {};  // foreign layers live elsewhere
    const auto digest = one.find("digest"), size = one.find("size"), type = one.find("mediaType");
    if (digest == one.end() || !digest->is_string() || size == one.end() || !size->is_number_unsigned() || !images::is_digest(digest->get<std::string>()))
      return base::make_error(ErrorKind::invalid, "manifest " + manifest.digest + ": a part without digest or size");
    descriptor.digest = digest->get<std::string>();
    descriptor.size = size->get<std::int64_t>();
    if (type != one.end() && type->is_string()) descriptor.media_type = type->get<std::string>();
    list.push_back(std::move(descriptor));
    return {};
  };
  if (const auto config = root.find("config"); config != root.end()) TRY(take(*config, parts.blobs));
  for (const char* key : {"layers", "blobs"})
    if (const auto list = root.find(key); list != root.end() && list->is_array())
      for (const auto& one : *list) TRY(take(one, parts.blobs));
  if (const auto list = root.find("manifests"); list != root.end() && list->is_array())
    for (const auto& one : *list) TRY(take(one, parts.children));
  return parts;
}

class Copier {
 public:
  Copier(Place& from, Place& to, const CopyOptions& options) : from_(from), to_(to), options_(options) {}

  Result<std::string> run() {
    ASSIGN_OR_RETURN(auto top, from_.manifest(""));
    if (!options_.platform.empty()) {
      ASSIGN_OR_RETURN(auto manifest, parse_manifest(top.bytes, top.media_type));
      for (int depth = 0; manifest.is_index && depth < index_depth_max; ++depth) {
        ASSIGN_OR_RETURN(const auto child, choose_platform(manifest, options_.platform, top.digest));
        ASSIGN_OR_RETURN(top, from_.manifest(child.digest));
        ASSIGN_OR_RETURN(manifest, parse_manifest(top.bytes, top.media_type));
      }
    }
    TRY(copy(top, true, 0));
    return top.digest;
  }

 private:
  Result<> copy(Fetched one, bool top, int depth) {
    if (depth > index_depth_max) return base::make_error(ErrorKind::invalid, "indexes nested too deep");
    ASSIGN_OR_RETURN(const auto parts, parts_of(one));
    for (const auto& child : parts.children) {
      ASSIGN_OR_RETURN(auto inner, from_.manifest(child.digest));
      if (inner.media_type.empty()) inner.media_type = child.media_type;
      TRY(copy(std::move(inner), false, depth + 1));
    }
    for (const auto& blob : parts.blobs)
      if (done_.insert(blob.digest).second) TRY(copy_blob(blob));
    if (const auto semicolon = one.media_type.find(';'); semicolon != std::string::npos) one.media_type.resize(semicolon);
    return to_.write_manifest(one, top);
  }

  Result<> copy_blob(const Descriptor& blob) {
    const auto say = [&](const char* status) {
      if (options_.progress) options_.progress({.id = short_digest(blob.digest), .status = status});
    };
    ASSIGN_OR_RETURN(const bool there, to_.has_blob(blob.digest));
    if (there) {
      say("Already exists");
      return {};
    }
    say("Copying");
    ASSIGN_OR_RETURN(const auto file, PartialFile::create());
    TRY(from_.read_blob(blob, file.fd()));
    TRY(to_.write_blob(blob, file.fd()));
    say("Copied");
    return {};
  }

  Place &from_, &to_;
  const CopyOptions& options_;
  std::set<std::string> done_;
};

std::string platform_text(const Descriptor& one) {
  return one.os.empty() ? "" : one.os + "/" + one.architecture + (one.variant.empty() ? "" : "/" + one.variant);
}

}  // namespace

Result<std::vector<std::string>> remote_tags(const std::string& name) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  ASSIGN_OR_RETURN(const auto client, open_origin(reference, "pull"));
  std::vector<std::string> tags;
  std::string path = "tags/list";
  while (!path.empty()) {
    ASSIGN_OR_RETURN(const auto answer, client->request({}, path));
    if (answer.status != 200) return client->refusal(answer, "tags of " + reference.familiar_name());
    const auto root = json::parse(answer.body, nullptr, false);
    const auto list = root.is_object() ? root.find("tags") : root.end();
    if (!root.is_object() || list == root.end()) return base::make_error(ErrorKind::invalid, "the registry's list of tags is malformed");
    const auto before = tags.size();
    if (list->is_array())
      for (const auto& tag : *list)
        if (tag.is_string()) tags.push_back(tag.get<std::string>());
    path = next_page(answer.header("link"));
    if (tags.size() == before || tags.size() > tags_max) break;  // a page without news would be asked for again and again
  }
  return tags;
}

Result<std::string> inspect_remote(const std::string& name, const RemoteOptions& options) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  ASSIGN_OR_RETURN(const auto client, open_origin(reference, "pull"));
  ASSIGN_OR_RETURN(const auto top, client->manifest(wanted(reference)));
  if (options.raw) return top.bytes;
  ASSIGN_OR_RETURN(auto manifest, parse_manifest(top.bytes, top.media_type));
  ordered answer{{"Name", reference.name()}, {"Digest", top.digest}, {"MediaType", manifest.media_type}};
  if (manifest.is_index) {
    auto list = ordered::array();
    for (const auto& child : manifest.children)
      list.push_back({{"Digest", child.digest}, {"MediaType", child.media_type}, {"Size", child.size}, {"Platform", platform_text(child)}});
    answer["Manifests"] = std::move(list);
  }
  for (int depth = 0; manifest.is_index && depth < index_depth_max; ++depth) {
    ASSIGN_OR_RETURN(const auto child, choose_platform(manifest, options.platform, reference.familiar()));
    ASSIGN_OR_RETURN(const auto inner, client->manifest(child.digest));
    ASSIGN_OR_RETURN(manifest, parse_manifest(inner.bytes, inner.media_type));
  }
  ASSIGN_OR_RETURN(const auto bytes, client->blob(manifest.config.digest, config_max));
  ASSIGN_OR_RETURN(const auto config, images::parse_config(bytes));
  answer["Created"] = config.created;
  answer["Architecture"] = config.architecture;
  answer["Os"] = config.os;
  if (!config.variant.empty()) answer["Variant"] = config.variant;
  answer["Labels"] = config.labels;
  answer["Env"] = config.env;
  auto layers = ordered::array(), data = ordered::array();
  for (const auto& layer : manifest.layers) {
    layers.push_back(layer.digest);
    data.push_back({{"MIMEType", layer.media_type}, {"Digest", layer.digest}, {"Size", layer.size}});
  }
  answer["Layers"] = std::move(layers);
  answer["LayersData"] = std::move(data);
  return answer.dump(4, ' ', false, ordered::error_handler_t::replace);
}

Result<std::string> copy_image(const std::string& from, const std::string& to, const CopyOptions& options) {
  TRY(images::prepare_folders());
  ASSIGN_OR_RETURN(const auto source, open_place(from, "pull"));
  ASSIGN_OR_RETURN(const auto target, open_place(to, "pull,push"));
  return Copier(*source, *target, options).run().with("copying " + from + " to " + to);
}

}  // namespace engine::registry
