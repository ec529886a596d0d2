// Sources: cli docs "docker login"; docker-credential-helpers protocol (store, erase); distribution-spec "GET /v2/".
#include "engine/registry/login.h"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/images/reference.h"
#include "engine/registry/client.h"
#include "engine/registry/settings.h"
#include "engine/registry/encoding.h"

namespace engine::registry {

using base::ErrorKind;
using ordered = nlohmann::ordered_json;

namespace {

constexpr const char* docker_key = "https://index.docker.io/v1/";

/// "https://host:5000/v2/" and "host:5000" → "host:5000"; Docker's names for its own → "docker.io".
Result<std::string> host_of(std::string server) {
  if (const auto scheme = server.find("://"); scheme != std::string::npos) server = server.substr(scheme + 3);
  server = server.substr(0, server.find('/'));
  if (server.empty() || server == "index.docker.io" || server == "registry-1.docker.io") return std::string("docker.io");
  if (!images::parse_reference(server + "/x") || (server.find('.') == std::string::npos && server.find(':') == std::string::npos && server != "localhost"))
    return base::make_error(ErrorKind::invalid, "'" + server + "' is not the name of a registry");
  return server;
}

std::string key_of(const std::string& host) { return host == "docker.io" ? docker_key : host; }

Result<std::filesystem::path> config_file() {
  if (const char* folder = std::getenv("DOCKER_CONFIG"); folder != nullptr && *folder != 0) return std::filesystem::path(folder) / "config.json";
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != 0) return std::filesystem::path(home) / ".docker/config.json";
  return base::make_error(ErrorKind::invalid, "neither DOCKER_CONFIG nor HOME says where credentials are kept");
}

Result<ordered> read_config(const std::filesystem::path& file) {
  const auto bytes = base::sys::read_file(file, 4 << 20);
  if (!bytes) {
    if (bytes.error().kind == ErrorKind::not_found) return ordered::object();
    return bytes.error();
  }
  auto root = ordered::parse(*bytes, nullptr, false);
  if (!root.is_object()) return base::make_error(ErrorKind::invalid, file.string() + ": not a JSON object");
  return root;
}

Result<> write_config(const std::filesystem::path& file, const ordered& root) {
  TRY(base::sys::make_directories(file.parent_path(), 0700));
  return base::sys::replace_file(file, root.dump(1, '\t') + "\n", 0600);
}

/// The helper that keeps this server's credentials; "" = the file itself does.
std::string helper_for(const ordered& root, const std::string& host) {
  const auto text = [](const ordered& value) { return value.is_string() ? value.get<std::string>() : std::string(); };
  if (const auto helpers = root.find("credHelpers"); helpers != root.end() && helpers->is_object())
    for (const auto& name : {host, key_of(host)})
      if (const auto found = helpers->find(name); found != helpers->end()) return text(*found);
  const auto store = root.find("credsStore");
  return store == root.end() ? "" : text(*store);
}

/// The registry's word on the credentials: GET /v2/ with whatever it challenges for.
Result<> check(const std::string& host, const Credentials& credentials) {
  images::Reference reference;
  reference.domain = host;
  reference.path = "login";
  reference.tag = "latest";
  ASSIGN_OR_RETURN(const auto settings, Settings::load());
  ASSIGN_OR_RETURN(const auto endpoints, settings.endpoints(reference));
  const auto& endpoint = endpoints.back();
  Client client(endpoint, settings.tls(endpoint), "");
  client.use_credentials(credentials);
  ASSIGN_OR_RETURN(const auto answer, client.request({}, "/v2/"));
  if (answer.status == 401 || answer.status == 403) return base::make_error(ErrorKind::permission, host + ": unauthorized: incorrect username or password");
  if (answer.status != 200) return client.refusal(answer, host);
  return {};
}

}  // namespace

Result<std::string> log_in(const LoginRequest& request) {
  ASSIGN_OR_RETURN(const auto host, host_of(request.server));
  const Credentials credentials{.user = request.user, .password = request.password, .identity_token = "", .registry_token = ""};
  TRY(check(host, credentials).with("login to " + host));
  ASSIGN_OR_RETURN(const auto file, config_file());
  ASSIGN_OR_RETURN(auto root, read_config(file));
  if (const auto helper = helper_for(root, host); !helper.empty()) {
    const ordered secret{{"ServerURL", key_of(host)}, {"Username", request.user}, {"Secret", request.password}};
    TRY(run_helper(helper, "store", secret.dump()));
    root["auths"][key_of(host)] = ordered::object();  // as Docker: names the server, not the secret
    TRY(write_config(file, root));
    return "docker-credential-" + helper;
  }
  root["auths"][key_of(host)] = {{"auth", encode_base64(request.user + ":" + request.password)}};
  TRY(write_config(file, root));
  return file.string();
}

Result<bool> log_out(const std::string& server) {
  ASSIGN_OR_RETURN(const auto host, host_of(server));
  ASSIGN_OR_RETURN(const auto file, config_file());
  ASSIGN_OR_RETURN(auto root, read_config(file));
  const auto helper = helper_for(root, host);
  bool found = false;
  if (!helper.empty()) {
    TRY(run_helper(helper, "erase", key_of(host)));
    found = true;
  }
  if (const auto auths = root.find("auths"); auths != root.end() && auths->is_object())
    for (const auto& name : {key_of(host), host, "https://" + host})
      found = auths->erase(name) > 0 || found;
  if (found) TRY(write_config(file, root));
  return found;
}

}  // namespace engine::registry
