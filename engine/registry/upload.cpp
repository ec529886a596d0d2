// The sending half of the client: distribution-spec "Pushing blobs" and "Pushing manifests".
#include "engine/registry/client.h"
#include "engine/registry/manifest.h"

namespace engine::registry {

using base::ErrorKind;

Result<bool> Client::has_blob(const std::string& digest) {
  ASSIGN_OR_RETURN(const auto response, request({.method = "HEAD"}, "blobs/" + digest));
  if (response.status == 401 || response.status == 403) return refusal(response, "denied");
  return response.status == 200;
}

Result<bool> Client::has_manifest(const std::string& digest) {
  ASSIGN_OR_RETURN(const auto response, request({.method = "HEAD", .headers = {"Accept: " + std::string(media::oci_manifest) + ", " + std::string(media::docker_manifest)}}, "manifests/" + digest));
  return response.status == 200;
}

namespace {
/// The upload's address with the digest added; its own query must be kept.
std::string with_digest(const std::string& location, const std::string& digest) {
  return location + (location.find('?') == std::string::npos ? "?" : "&") + "digest=" + url_encode(digest);
}
}  // namespace

Result<> Client::upload_blob(const std::string& digest, base::Fd content, std::int64_t size, const std::function<void(std::int64_t)>& on_sent) {
  constexpr int sessions_max = 3;
  for (int session = 1;; ++session) {
    const auto elsewhere = mounts_.find(digest);
    std::string path = "blobs/uploads/";
    // Refused or unknown there, the registry opens an ordinary upload instead.
    if (elsewhere != mounts_.end() && session == 1) path += "?mount=" + url_encode(digest) + "&from=" + url_encode(elsewhere->second);
    ASSIGN_OR_RETURN(const auto opened, request({.method = "POST"}, path));
    const auto location = opened.header("location");
    if (opened.status == 201 && path.find('?') != std::string::npos) return {};
    if (opened.status != 202 || location.empty()) return refusal(opened, "starting the upload of " + digest);
    (void)lseek(content.number(), 0, SEEK_SET);
    HttpRequest put{.method = "PUT", .headers = {"Content-Type: application/octet-stream"}, .upload = content, .upload_bytes = size};
    put.follow_redirects = false;
    put.on_upload = on_sent;
    auto sent = attempt(put, with_digest(location, digest));
    if (sent && sent->status == 201) return {};
    // A broken upload session cannot be repeated, only begun again.
    const bool again = sent ? sent->status >= 500 || sent->status == 429 : sent.error().kind == ErrorKind::unavailable;
    if (again && session < sessions_max) continue;
    if (!sent) return std::move(sent).error();
    return refusal(*sent, "uploading " + digest);
  }
}

Result<> Client::upload_bytes(const std::string& digest, const std::string& bytes) {
  ASSIGN_OR_RETURN(const auto opened, request({.method = "POST"}, "blobs/uploads/"));
  const auto location = opened.header("location");
  if (opened.status != 202 || location.empty()) return refusal(opened, "starting the upload of " + digest);
  ASSIGN_OR_RETURN(const auto sent, request({.method = "PUT", .headers = {"Content-Type: application/octet-stream"}, .body = bytes}, with_digest(location, digest)));
  if (sent.status != 201) return refusal(sent, "uploading " + digest);
  return {};
}

Result<> Client::put_manifest(const std::string& name, const std::string& bytes, const std::string& media_type) {
  ASSIGN_OR_RETURN(const auto sent, request({.method = "PUT", .headers = {"Content-Type: " + media_type}, .body = bytes}, "manifests/" + name));
  if (sent.status != 201 && sent.status != 202) return refusal(sent, "uploading the manifest " + name);
  return {};
}

}  // namespace engine::registry
