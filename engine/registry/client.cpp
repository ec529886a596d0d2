// Sources: distribution-spec 1.1; docs.docker.com registry token authentication and its OAuth2 form.
#include "engine/registry/client.h"

#include <random>
#include <set>
#include <thread>

#include <nlohmann/json.hpp>

#include "engine/api/docker_config.h"
#include "engine/images/image_store.h"
#include "engine/registry/hash.h"
#include "engine/registry/manifest.h"

namespace engine::registry {

using base::ErrorKind;
using nlohmann::json;

namespace {

constexpr std::size_t manifest_max = 4u << 20;
constexpr long wait_max_ms = 30'000;

constexpr std::string_view accept_manifests =
    "Accept: application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, "
    "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json";

std::string text(const json& object, const char* key) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  return !object.is_object() || found == object.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

/// "manifest unknown" of {"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}.
std::string registry_message(const HttpResponse& response) {
  const auto root = json::parse(response.body, nullptr, false);
  if (!root.is_object()) return {};
  const auto errors = root.find("errors");
  if (errors == root.end() || !errors->is_array() || errors->empty()) return text(root, "details");
  auto message = text(errors->front(), "message");
  return message.empty() ? text(errors->front(), "code") : message;
}

/// "https://host:443/v2/" → "https://host": the port of the scheme is not worth a word.
std::string origin_of(const std::string& url) {
  const bool secure = url.starts_with("https://");
  const auto end = url.find_first_of("/?#", secure ? 8 : 7);
  const std::string_view origin = std::string_view(url).substr(0, end), port = secure ? ":443" : ":80";
  return std::string(origin.ends_with(port) ? origin.substr(0, origin.size() - port.size()) : origin);
}

}  // namespace

void Client::back_off(int attempt, const HttpResponse* response) {
  // Jitter, so that many clients do not come back in step.
  static thread_local std::minstd_rand random{std::random_device{}()};
  long wait_ms = 200L << static_cast<unsigned>(std::min(attempt, 6));
  wait_ms += static_cast<long>(random() % static_cast<unsigned>(wait_ms));
  if (response != nullptr)
    if (const auto after = response->header("retry-after"); !after.empty()) {  // RFC 9110 10.2.3: seconds or a date
      const bool seconds = after.find_first_not_of("0123456789") == std::string::npos && after.size() < 10;
      const std::int64_t date = seconds ? 0 : http_date_s(after);
      if (seconds) wait_ms = std::atol(after.c_str()) * 1000;
      else if (date > 0) wait_ms = static_cast<long>(std::max<std::int64_t>(0, date - std::time(nullptr))) * 1000;
    }
  std::this_thread::sleep_for(std::chrono::milliseconds(std::min(wait_ms, wait_max_ms)));
}

bool Client::worth_retrying(int status) { return status == 408 || status == 429 || (status >= 500 && status != 501); }

Client::Client(Endpoint endpoint, TlsOptions tls, std::string actions)
    : endpoint_(std::move(endpoint)), tls_(std::move(tls)), actions_(std::move(actions)) {
  if (auto headers = docker_registry_headers()) headers_ = *std::move(headers);  // a broken file is told of when credentials are asked for
  if (endpoint_.plain_http) base_ = "http://" + endpoint_.host;
  if (!endpoint_.insecure && !endpoint_.plain_http) base_ = "https://" + endpoint_.host;
}

/// An insecure registry speaks https (unverified) or http: asked once.
Result<std::string> Client::base_url() {
  const std::lock_guard guard(mutex_);
  if (!base_.empty()) return base_;
  HttpRequest probe{.url = "https://" + endpoint_.host + "/v2/", .connect_timeout_s = 4, .tls = tls_};
  auto answer = http_.perform(probe);
  if (answer) return base_ = "https://" + endpoint_.host;
  if (answer.error().kind != ErrorKind::unavailable) return std::move(answer).error();
  return base_ = "http://" + endpoint_.host;
}

base::Error Client::refusal(const HttpResponse& response, const std::string& what) const {
  const auto said = registry_message(response);
  ErrorKind kind = ErrorKind::invalid;
  std::string text = what + ": ";
  if (response.status == 401 || response.status == 403) kind = ErrorKind::permission;
  if (response.status == 404) kind = ErrorKind::not_found;
  if (worth_retrying(response.status)) kind = ErrorKind::unavailable;
  text += said.empty() ? endpoint_.host + " answered with status " + std::to_string(response.status) : said;
  return base::make_error(kind, std::move(text));
}

Result<std::string> Client::fetch_token(const std::map<std::string, std::string>& challenge, const Credentials& credentials) {
  const auto parameter = [&](const char* key) {
    const auto found = challenge.find(key);
    return found == challenge.end() ? std::string() : found->second;
  };
  const auto realm = parameter("realm"), service = parameter("service");
  std::vector<std::string> scopes;
  if (!actions_.empty()) scopes.push_back("repository:" + endpoint_.repository + ":" + actions_);
  std::set<std::string> others;
  for (const auto& [digest, repository] : mounts_)
    if (others.insert(repository).second) scopes.push_back("repository:" + repository + ":pull");
  // A registry may know the repository by another name than it is asked for.
  if (const auto wanted = parameter("scope"); !wanted.empty() && !actions_.empty() && !wanted.starts_with("repository:" + endpoint_.repository + ":"))
    scopes.push_back(wanted);
  const bool secure = realm.starts_with("https://");
  if (!secure && !realm.starts_with("http://")) return base::make_error(ErrorKind::invalid, "the registry names no token server");
  if (!secure && !endpoint_.insecure && !endpoint_.plain_http)
    return base::make_error(ErrorKind::permission, "the registry wants a token from " + realm + ", which is not encrypted");
  HttpRequest request{.url = realm, .tls = tls_};
  if (!credentials.identity_token.empty()) {
    request.method = "POST";
    request.headers.emplace_back("Content-Type: application/x-www-form-urlencoded");
    std::string all;  // RFC 6749: one parameter, separated by blanks
    for (const auto& scope : scopes) all += (all.empty() ? "" : " ") + scope;
    request.body = "grant_type=refresh_token&service=" + url_encode(service) + "&scope=" + url_encode(all) +
                   "&client_id=compose&refresh_token=" + url_encode(credentials.identity_token);
  } else {
    request.url += realm.find('?') == std::string::npos ? "?" : "&";
    request.url += "service=" + url_encode(service);
    for (const auto& scope : scopes) request.url += "&scope=" + url_encode(scope);
    if (!credentials.user.empty()) {
      request.url += "&account=" + url_encode(credentials.user);
      request.user_password = credentials.user + ":" + credentials.password;
    }
  }
  for (int attempt = 0;; ++attempt) {
    auto answer = http_.perform(request);
    const bool again = answer ? worth_retrying(answer->status) : answer.error().kind == ErrorKind::unavailable;
    if (again && attempt + 1 < tries_max) {
      back_off(attempt, answer ? &*answer : nullptr);
      continue;
    }
    if (!answer) return std::move(answer).error();
    if (answer->status != 200) return refusal(*answer, "unauthorized");
    const auto root = json::parse(answer->body, nullptr, false);
    auto token = text(root, "token");
    if (token.empty()) token = text(root, "access_token");
    if (token.empty()) return base::make_error(ErrorKind::invalid, "the token server " + realm + " gave no token");
    return token;
  }
}

Result<> Client::answer_challenge(const HttpResponse& response) {
  std::vector<Challenge> challenges;
  for (const auto& [name, value] : response.headers)
    if (name == "www-authenticate")
      for (auto& one : parse_challenges(value)) challenges.push_back(std::move(one));
  Credentials credentials;
  if (given_) {
    credentials = *given_;
  } else {
    ASSIGN_OR_RETURN(credentials, find_credentials(endpoint_.credentials_key, endpoint_.repository));
  }
  for (const auto& challenge : challenges) {
    if (challenge.scheme == "bearer") {
      if (!credentials.registry_token.empty()) {
        bearer_ = credentials.registry_token;
        return {};
      }
      ASSIGN_OR_RETURN(bearer_, fetch_token(challenge.parameters, credentials));
      return {};
    }
    if (challenge.scheme == "basic" && !credentials.user.empty()) {
      user_password_ = credentials.user + ":" + credentials.password;
      return {};
    }
  }
  return refusal(response, "unauthorized");
}

Result<HttpResponse> Client::attempt(HttpRequest& request, const std::string& path) {
  ASSIGN_OR_RETURN(const auto base, base_url());
  const bool absolute = path.starts_with("http://") || path.starts_with("https://");
  if (absolute) request.url = path;
  else if (path.starts_with('/')) request.url = base + path;
  else request.url = base + "/v2/" + endpoint_.repository + "/" + path;
  // An upload location on another host is not the registry that our credentials are for.
  const bool ours = origin_of(request.url) == origin_of(base);
  request.tls = tls_;
  const auto own_headers = request.headers.size();
  if (ours) request.headers.insert(request.headers.end(), headers_.begin(), headers_.end());
  // Retries come by here again.
  const struct Restore {
    std::vector<std::string>& headers;
    std::size_t size;
    ~Restore() { headers.resize(size); }
  } restore{request.headers, own_headers};
  for (int round = 0;; ++round) {
    std::string used;
    {
      const std::lock_guard guard(mutex_);
      request.bearer = ours ? bearer_ : "";
      request.user_password = ours && bearer_.empty() ? user_password_ : "";
      used = request.bearer + request.user_password;
    }
    const off_t start = request.upload.valid() ? lseek(request.upload.number(), 0, SEEK_CUR) : 0;
    ASSIGN_OR_RETURN(auto response, http_.perform(request));
    if (response.status != 401 || round == 2 || !ours) return response;
    const std::lock_guard guard(mutex_);
    // Another thread may have renewed it meanwhile. A token that was refused is renewed once, a password never.
    if (used != bearer_ + user_password_) continue;
    if (!user_password_.empty() || (round == 1)) return response;
    bearer_.clear();
    TRY(answer_challenge(response));
    if (request.upload.valid()) (void)lseek(request.upload.number(), start, SEEK_SET);
  }
}

Result<HttpResponse> Client::retried(HttpRequest& request, const std::string& path) {
  for (int number = 0;; ++number) {
    auto response = attempt(request, path);
    const bool again = response ? worth_retrying(response->status) : response.error().kind == ErrorKind::unavailable;
    // Nobody listens there: waiting will not help within a command's patience, except for a mirror's next one.
    constexpr int curl_could_not_connect = 7, curl_could_not_resolve = 6;
    const bool down = !response && (response.error().number == curl_could_not_connect || response.error().number == curl_could_not_resolve);
    if (!again || number + 1 >= (down ? 2 : tries_max)) return response;
    back_off(number, response ? &*response : nullptr);
  }
}

Result<HttpResponse> Client::request(HttpRequest request, const std::string& path) { return retried(request, path); }

Result<Fetched> Client::manifest(const std::string& name) {
  HttpRequest request{.headers = {std::string(accept_manifests)}, .body_limit = manifest_max};
  ASSIGN_OR_RETURN(auto response, retried(request, "manifests/" + name));
  if (response.status != 200) return refusal(response, "manifest " + name);
  Fetched fetched{.bytes = std::move(response.body), .media_type = response.header("content-type"), .digest = ""};
  if (images::is_digest(name)) {
    Hasher hasher(std::string_view(name).substr(0, 6));
    hasher.update(fetched.bytes);
    fetched.digest = hasher.finish();
    if (fetched.digest != name) return base::make_error(ErrorKind::invalid, "manifest " + name + ": what " + endpoint_.host + " served has digest " + fetched.digest);
  } else {
    fetched.digest = images::sha256_digest(fetched.bytes);
  }
  return fetched;
}

Result<std::optional<std::string>> Client::head_manifest(const std::string& name) {
  HttpRequest request{.method = "HEAD", .headers = {std::string(accept_manifests)}};
  ASSIGN_OR_RETURN(const auto response, retried(request, "manifests/" + name));
  if (response.status == 404) return refusal(response, "manifest " + name);
  const auto digest = response.header("docker-content-digest");
  if (response.status != 200 || !images::is_digest(digest)) return std::optional<std::string>();
  return std::optional(digest);
}

Result<std::string> Client::blob(const std::string& digest, std::size_t limit) {
  HttpRequest request{.body_limit = limit};
  ASSIGN_OR_RETURN(auto response, retried(request, "blobs/" + digest));
  if (response.status != 200) return refusal(response, "blob " + digest);
  Hasher hasher(std::string_view(digest).substr(0, 6));
  hasher.update(response.body);
  if (hasher.finish() != digest) return base::make_error(ErrorKind::invalid, "blob " + digest + ": what " + endpoint_.host + " served has another digest");
  return std::move(response.body);
}

Result<> Client::blob_stream(const std::string& digest, std::int64_t offset, std::int64_t size,
                             const std::function<Result<>(std::span<const char>)>& sink) {
  bool sink_failed = false, ranges = true;
  for (int number = 0; offset < size; ++number) {
    const auto before = offset;
    std::int64_t skip = 0;  // a server without Range starts over: what we have is passed by
    bool first = true;
    HttpRequest request{.range_from = ranges ? offset : 0};
    request.sink = [&](std::int64_t start, std::span<const char> bytes) -> Result<> {
      if (first && start > before) {
        ranges = false;
        return base::make_error(ErrorKind::unavailable, endpoint_.host + " sent another part of blob " + digest + " than was asked for");
      }
      if (first) skip = before - start;
      first = false;
      if (skip > 0) {
        const auto passed = std::min<std::int64_t>(skip, static_cast<std::int64_t>(bytes.size()));
        skip -= passed;
        bytes = bytes.subspan(static_cast<std::size_t>(passed));
      }
      offset += static_cast<std::int64_t>(bytes.size());
      Result<> taken;
      if (offset > size) taken = base::make_error(ErrorKind::invalid, "blob " + digest + " is larger than its manifest says");
      else if (!bytes.empty()) taken = sink(bytes);
      sink_failed = !taken;
      return taken;
    };
    auto response = attempt(request, "blobs/" + digest);
    if (response && response->status == 416 && ranges && before > 0) {  // it has no such part: the whole again
      ranges = false;
      continue;
    }
    if (sink_failed) return std::move(response).error();
    const bool failed = response ? worth_retrying(response->status) : response.error().kind == ErrorKind::unavailable;
    if (response && !failed && response->status != 200 && response->status != 206) return refusal(*response, "blob " + digest);
    if (!response && !failed) return std::move(response).error();
    if (response && !failed && offset < size && offset == before)
      return base::make_error(ErrorKind::invalid, "blob " + digest + " is smaller than its manifest says");
    if (offset >= size) break;
    if (offset > before) number = 0;  // it moves: patience starts again
    if (number + 1 >= tries_max) {
      if (response) return refusal(*response, "blob " + digest);
      return std::move(response).error();
    }
    back_off(number, response ? &*response : nullptr);
  }
  return {};
}

}  // namespace engine::registry
