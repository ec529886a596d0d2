#include "engine/registry/transfer.h"

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/client.h"
#include "engine/registry/layer_fetch.h"
#include "engine/registry/manifest.h"
#include "engine/registry/settings.h"

namespace engine::registry {

using base::ErrorKind;
using images::ImageStore;
using images::Reference;

namespace {

constexpr std::size_t config_max = 8u << 20;
constexpr int index_depth_max = 4;

/// What people know from Docker, for the two refusals they meet most.
base::Error explained(base::Error error, const Reference& reference) {
  if (error.kind == ErrorKind::not_found)
    return base::make_error(ErrorKind::not_found, "manifest for " + reference.familiar() + " not found: manifest unknown");
  if (error.kind == ErrorKind::permission && error.message.starts_with("manifest "))
    error.context.push_back("pull access denied for " + reference.familiar_name() + ", repository does not exist or may require 'docker login'");
  else if (error.kind == ErrorKind::permission && error.message.starts_with("unauthorized"))
    error.context.push_back("pull access denied for " + reference.familiar_name());
  else
    error.context.push_back("pulling " + reference.familiar());
  return error;
}

std::string wanted(const Reference& reference) { return reference.digest.empty() ? reference.tag : reference.digest; }

class Pull {
 public:
  Pull(store::Store& store, const Reference& reference, const PullOptions& options)
      : store_(store), images_(store), reference_(reference), options_(options) {}

  Result<Pulled> run() {
    ASSIGN_OR_RETURN(const auto lease, ImageStore::lease());
    return asking<Pulled>([&](Client& client) { return from(client); });
  }
  Result<images::ImageConfig> config() {
    return asking<images::ImageConfig>([&](Client& client) -> Result<images::ImageConfig> {
      ASSIGN_OR_RETURN(const auto found, find(client));
      return images::parse_config(found.config_bytes);
    });
  }

 private:
  /// What a name stands for on one platform.
  struct Found {
    Fetched top, image;  ///< under the name; the image's manifest, which may be the same
    Manifest manifest;
    std::string config_bytes;
  };

  /// The first answer of the mirrors and the registry itself.
  template <class Answer, class Ask>
  Result<Answer> asking(const Ask& ask) {
    ASSIGN_OR_RETURN(const auto settings, Settings::load());
    ASSIGN_OR_RETURN(const auto endpoints, settings.endpoints(reference_));
    std::optional<base::Error> last;
    for (const auto& endpoint : endpoints) {
      if (endpoint.digest_only && reference_.digest.empty()) continue;
      Client client(endpoint, settings.tls(endpoint), "pull");
      auto answer = ask(client);
      if (answer) return answer;
      last = std::move(answer).error();
      // A mirror that fails in any way is passed by; only a full disk ends it.
      if (!endpoint.mirror || last->kind == ErrorKind::exhausted) break;
    }
    if (!last) return base::make_error(ErrorKind::invalid, "no registry to ask for " + reference_.familiar());
    return explained(*std::move(last), reference_);
  }

  Result<Found> find(Client& client) {
    Found found;
    ASSIGN_OR_RETURN(found.top, client.manifest(wanted(reference_)));
    ASSIGN_OR_RETURN(found.manifest, parse_manifest(found.top.bytes, found.top.media_type));
    found.image = found.top;
    for (int depth = 0; found.manifest.is_index; ++depth) {
      if (depth == index_depth_max) return base::make_error(ErrorKind::invalid, "indexes nested too deep");
      ASSIGN_OR_RETURN(const auto child, choose_platform(found.manifest, options_.platform, reference_.familiar()));
      ASSIGN_OR_RETURN(found.image, client.manifest(child.digest));
      TRY(check_size("manifest " + child.digest, found.image.bytes.size(), child.size));
      ASSIGN_OR_RETURN(found.manifest, parse_manifest(found.image.bytes, found.image.media_type));
    }
    ASSIGN_OR_RETURN(found.config_bytes, config_of(client, found.manifest));
    return found;
  }

  Result<Pulled> from(Client& client) {
    ASSIGN_OR_RETURN(auto current, up_to_date(client));
    if (current) return *std::move(current);
    ASSIGN_OR_RETURN(const auto found, find(client));
    const auto& [top, image, manifest, config_bytes] = found;
    ASSIGN_OR_RETURN(const auto config, images::parse_config(config_bytes));
    TRY(check_platform(config));
    if (config.diff_ids.size() != manifest.layers.size())
      return base::make_error(ErrorKind::invalid, "the manifest has " + std::to_string(manifest.layers.size()) + " layers, the image config " + std::to_string(config.diff_ids.size()));
    auto jobs = plan_layers(manifest.layers, config.diff_ids);
    std::vector<std::string> chains;
    for (const auto& job : jobs) chains.push_back(job.chain_id);
    LayerFetcher fetcher(store_, &client, std::move(jobs), options_.progress);
    TRY(fetcher.run());
    TRY(base::sys::replace_file(images::blob_path(image.digest), image.bytes, 0600));
    ASSIGN_OR_RETURN(const auto id, images_.add({.config_json = config_bytes, .chain_ids = chains, .references = {reference_.full()},
                                                 .manifest_digest = image.digest, .served_digest = top.digest}));
    if (id != manifest.config.digest && manifest.config.digest.starts_with("sha256:"))
      return base::make_error(ErrorKind::internal, "the image got another id than its config's digest");
    images::settle_in_background();
    return Pulled{.id = id, .reference = reference_.full(), .digest = top.digest, .changed = true};
  }

  /// The image we have under this name, when the registry still serves the same digest. A HEAD does not count against
  /// a registry's pull limits.
  Result<std::optional<Pulled>> up_to_date(Client& client) {
    ASSIGN_OR_RETURN(const auto row, store_.reference(reference_.full()));
    if (!row || row->digest.empty()) return std::optional<Pulled>();
    auto image = images_.by_id(row->image_id);
    if (!image) return std::optional<Pulled>();  // incomplete: fetch what is missing
    if (!options_.platform.empty() && !same_platform(image->config.platform(), options_.platform)) return std::optional<Pulled>();
    if (options_.platform.empty() && image->config.architecture != host_architecture()) return std::optional<Pulled>();
    if (reference_.digest.empty()) {
      ASSIGN_OR_RETURN(const auto now, client.head_manifest(reference_.tag));
      if (!now || *now != row->digest) return std::optional<Pulled>();
    }
    TRY(store_.put_reference({.reference = row->reference, .image_id = row->image_id, .digest = row->digest, .updated = store::now_ns()}));
    return std::optional(Pulled{.id = row->image_id, .reference = reference_.full(), .digest = row->digest, .changed = false});
  }

  static std::string host_architecture() {
    const auto host = images::host_platform();
    return host.substr(6, host.find('/', 6) - 6);
  }
  static bool same_platform(const std::string& have, const std::string& want) {
    return have == want || have.starts_with(want + "/") || (want == "linux/arm64/v8" && have == "linux/arm64");
  }

  Result<std::string> config_of(Client& client, const Manifest& manifest) {
    // What an earlier pull of the same image stored needs no download.
    ASSIGN_OR_RETURN(const auto known, store_.image(manifest.config.digest));
    if (known) return known->config_json;
    ASSIGN_OR_RETURN(auto bytes, client.blob(manifest.config.digest, config_max));
    TRY(check_size("image config " + manifest.config.digest, bytes.size(), manifest.config.size));
    return bytes;
  }
  static Result<> check_size(const std::string& what, std::size_t have, std::int64_t stated) {
    if (static_cast<std::int64_t>(have) == stated) return {};
    return base::make_error(ErrorKind::invalid, what + " has " + std::to_string(have) + " bytes, not the " + std::to_string(stated) + " it is said to have");
  }

  /// An image without an index says its platform in its config only. Like Docker, a foreign one is taken only when asked for.
  Result<> check_platform(const images::ImageConfig& config) const {
    if (options_.any_platform || options_.platform.empty() || config.architecture.empty()) return {};
    if (same_platform(config.platform(), options_.platform) || options_.platform.starts_with(config.os + "/" + config.architecture)) return {};
    return base::make_error(ErrorKind::unsupported, "no image of " + reference_.familiar() + " for platform " + options_.platform + "; there is " + config.platform());
  }

  store::Store& store_;
  ImageStore images_;
  const Reference& reference_;
  const PullOptions& options_;
};

}  // namespace

Result<Pulled> pull(store::Store& store, const std::string& name, const PullOptions& options) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  return Pull(store, reference, options).run();
}

Result<images::ImageConfig> remote_config(const std::string& name, const std::string& platform) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  ASSIGN_OR_RETURN(store::Store store, store::Store::open());
  const PullOptions options{.platform = platform, .any_platform = true, .progress = {}};
  return Pull(store, reference, options).config();
}

Result<std::string> remote_digest(const std::string& name) {
  ASSIGN_OR_RETURN(const auto reference, images::parse_reference(name));
  ASSIGN_OR_RETURN(const auto settings, Settings::load());
  ASSIGN_OR_RETURN(const auto endpoints, settings.endpoints(reference));
  std::optional<base::Error> last;
  for (const auto& endpoint : endpoints) {
    if (endpoint.digest_only && reference.digest.empty()) continue;
    Client client(endpoint, settings.tls(endpoint), "pull");
    auto digest = client.head_manifest(wanted(reference));
    if (digest && *digest) return **digest;
    if (digest) {
      auto fetched = client.manifest(wanted(reference));
      if (fetched) return fetched->digest;
      last = std::move(fetched).error();
    } else {
      last = std::move(digest).error();
    }
  }
  if (!last) return base::make_error(ErrorKind::invalid, "no registry to ask for " + reference.familiar());
  return explained(*std::move(last), reference);
}

}  // namespace engine::registry
