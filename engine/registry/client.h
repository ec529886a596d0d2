#pragma once
// One repository of one registry over the distribution protocol. Private to the room. Thread-safe.
#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "engine/registry/credentials.h"
#include "engine/registry/http.h"
#include "engine/registry/settings.h"

namespace engine::registry {

struct Fetched {
  std::string bytes, media_type, digest;
};

class Client {
 public:
  /// `actions`: "pull" or "pull,push".
  Client(Endpoint endpoint, TlsOptions tls, std::string actions);

  /// These instead of those the user has stored.
  void use_credentials(Credentials credentials) { given_ = std::move(credentials); }
  /// Blobs that are uploaded may be there already, in other repositories of this registry (digest → repository): the registry
  /// is asked to take them over. Before the first request.
  void mount_from(std::map<std::string, std::string> repositories) { mounts_ = std::move(repositories); }

  /// Manifest or index by tag or digest; its bytes are hashed, and compared when asked for by digest.
  Result<Fetched> manifest(const std::string& tag_or_digest);
  /// What the registry says the digest is; absent when it answers HEAD without one.
  Result<std::optional<std::string>> head_manifest(const std::string& tag_or_digest);
  /// A small blob, verified.
  Result<std::string> blob(const std::string& digest, std::size_t limit);
  /// Streams a blob from an offset on, trying again where it stopped. The sink sees every byte once.
  /// Error from the sink ends it.
  Result<> blob_stream(const std::string& digest, std::int64_t offset, std::int64_t size,
                       const std::function<Result<>(std::span<const char>)>& sink);
  Result<bool> has_blob(const std::string& digest);
  Result<bool> has_manifest(const std::string& digest);
  Result<> upload_blob(const std::string& digest, base::Fd content, std::int64_t size, const std::function<void(std::int64_t)>& on_sent);
  Result<> upload_bytes(const std::string& digest, const std::string& bytes);
  Result<> put_manifest(const std::string& tag_or_digest, const std::string& bytes, const std::string& media_type);

  /// A request below /v2/REPOSITORY/ (or an absolute URL), authorised, with retries for what can be repeated.
  Result<HttpResponse> request(HttpRequest request, const std::string& path);
  [[nodiscard]] const Endpoint& endpoint() const { return endpoint_; }
  /// The registry's refusal as an error: kind by status, text from its JSON.
  base::Error refusal(const HttpResponse& response, const std::string& what) const;

 private:
  class Upload;
  static constexpr int tries_max = 5;
  /// Waits: exponential with jitter, or as long as the answer's Retry-After says, within bounds.
  static void back_off(int attempt, const HttpResponse* response);
  static bool worth_retrying(int status);
  Result<HttpResponse> attempt(HttpRequest& request, const std::string& path);
  Result<HttpResponse> retried(HttpRequest& request, const std::string& path);
  Result<std::string> base_url();
  Result<> answer_challenge(const HttpResponse& response);
  Result<std::string> fetch_token(const std::map<std::string, std::string>& challenge, const Credentials& credentials);

  Endpoint endpoint_;
  TlsOptions tls_;
  std::string actions_;
  std::vector<std::string> headers_;  ///< for every request to the registry itself
  Http http_;
  std::mutex mutex_;
  std::string base_;                 ///< "https://host"; "" = not known yet
  std::string bearer_, user_password_;
  std::optional<Credentials> given_;
  std::map<std::string, std::string> mounts_;
};

/// The challenges of WWW-Authenticate headers: scheme (lower case) and its parameters.
struct Challenge {
  std::string scheme;
  std::map<std::string, std::string> parameters;
};
std::vector<Challenge> parse_challenges(std::string_view header);

}  // namespace engine::registry
