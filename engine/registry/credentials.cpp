// Sources: docker config.json (cli docs "docker login"); docker-credential-helpers protocol; containers-auth.json(5).
#include "engine/registry/credentials.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/docker_config.h"
#include "engine/registry/encoding.h"

namespace engine::registry {

using base::ErrorKind;
using nlohmann::json;

namespace {

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

std::string text(const json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() || !found->is_string() ? std::string() : found->get<std::string>();
}

/// "https://index.docker.io/v1/" → "docker.io", "https://host:5000/v2/" → "host:5000"; namespaces of auth.json stay.
std::string normalised(std::string key) {
  if (const auto scheme = key.find("://"); scheme != std::string::npos) {
    key = key.substr(scheme + 3);
    key = key.substr(0, key.find('/'));
  }
  while (key.ends_with('/')) key.pop_back();
  if (key == "index.docker.io" || key == "registry-1.docker.io" || key == "index.docker.io/v1") key = "docker.io";
  return key;
}

Credentials from_entry(const json& entry) {
  Credentials found{.user = text(entry, "username"), .password = text(entry, "password"),
                    .identity_token = text(entry, "identitytoken"), .registry_token = text(entry, "registrytoken")};
  const auto decoded = decode_base64(text(entry, "auth"));
  if (const auto colon = decoded.find(':'); colon != std::string::npos) {
    found.user = decoded.substr(0, colon);
    found.password = decoded.substr(colon + 1);
    while (!found.password.empty() && found.password.back() == '\0') found.password.pop_back();
  }
  return found;
}

std::optional<std::filesystem::path> in_path(const std::string& name) {
  const auto path = environment("PATH");
  for (std::size_t from = 0; from <= path.size();) {
    const auto end = std::min(path.find(':', from), path.size());
    const auto candidate = std::filesystem::path(path.substr(from, end - from)) / name;
    if (candidate.is_absolute() && access(candidate.c_str(), X_OK) == 0) return candidate;
    from = end + 1;
  }
  return std::nullopt;
}

/// The server on stdin, JSON on stdout.
Result<Credentials> ask_helper(const std::string& helper, const std::string& server) {
  const auto answer = run_helper(helper, "get", server + "\n");
  if (!answer) {
    if (answer.error().message.find("credentials not found") != std::string::npos) return Credentials{};
    return answer.error();
  }
  const auto root = json::parse(*answer, nullptr, false);
  if (!root.is_object()) return base::make_error(ErrorKind::unavailable, "docker-credential-" + helper + " gave no JSON");
  Credentials found{.user = text(root, "Username"), .password = text(root, "Secret"), .identity_token = "", .registry_token = ""};
  if (found.user == "<token>") return Credentials{.user = "", .password = "", .identity_token = found.password, .registry_token = ""};
  return found;
}

Result<Credentials> from_file(const std::filesystem::path& path, const std::string& key, const std::string& repository) {
  auto bytes = base::sys::read_file(path, 4 << 20);
  if (!bytes) return Credentials{};
  const auto root = json::parse(*bytes, nullptr, false);
  if (!root.is_object()) return base::make_error(ErrorKind::invalid, path.string() + ": not a JSON object");
  const std::string server = key == "docker.io" ? "https://index.docker.io/v1/" : key;
  if (const auto helpers = root.find("credHelpers"); helpers != root.end() && helpers->is_object())
    for (const auto& [host, helper] : helpers->items())
      if (normalised(host) == key && helper.is_string()) return ask_helper(helper.get<std::string>(), server);
  // A store that is not installed here (a config.json from another machine) holds nothing; a helper named for the very host must be.
  if (const auto store = text(root, "credsStore"); !store.empty() && in_path("docker-credential-" + store)) {
    ASSIGN_OR_RETURN(auto found, ask_helper(store, server));
    if (!found.empty()) return found;
  }
  const auto auths = root.find("auths");
  if (auths == root.end() || !auths->is_object()) return Credentials{};
  const auto full = key + "/" + repository;
  Credentials best;
  std::size_t length = 0;
  for (const auto& [name, entry] : auths->items()) {
    const auto candidate = normalised(name);
    const bool matches = candidate == full || candidate == key || (full.starts_with(candidate) && full[candidate.size()] == '/');
    if (!matches || candidate.size() < length || !entry.is_object()) continue;
    auto found = from_entry(entry);
    if (found.empty()) continue;
    best = std::move(found);
    length = candidate.size();
  }
  return best;
}

}  // namespace

Result<std::string> run_helper(const std::string& helper, const std::string& verb, const std::string& input_text) {
  const auto name = "docker-credential-" + helper;
  if (helper.find('/') != std::string::npos) return base::make_error(ErrorKind::invalid, "credential helper '" + helper + "' is not a name");
  const auto program = in_path(name);
  if (!program) return base::make_error(ErrorKind::unavailable, "credential helper " + name + " is not in PATH");
  ASSIGN_OR_RETURN(auto input, base::sys::pipe());
  ASSIGN_OR_RETURN(auto output, base::sys::pipe());
  base::SpawnOptions options{.program = *program, .arguments = {name, verb}, .environment = std::nullopt, .working_dir = {},
                             .fds = {{input.first.borrow(), 0}, {output.second.borrow(), 1}, {base::Fd(2), 2}}, .new_session = false};
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  input.first.reset();
  output.second.reset();
  TRY(base::sys::write_all(input.second.borrow(), input_text));
  input.second.reset();
  std::string answer;
  std::array<char, 4096> chunk{};
  for (;;) {
    ASSIGN_OR_RETURN(const auto count, base::sys::read(output.first.borrow(), chunk));
    if (count == 0 || answer.size() > (1u << 20)) break;
    answer.append(chunk.data(), count);
  }
  ASSIGN_OR_RETURN(const auto status, child.wait(std::chrono::seconds(30)));
  if (status.code != 0) return base::make_error(ErrorKind::unavailable, name + " failed: " + answer.substr(0, 200));
  return answer;
}

Result<Credentials> find_credentials(const std::string& key, const std::string& repository) {
  std::vector<std::filesystem::path> files;
  if (const auto named = environment("REGISTRY_AUTH_FILE"); !named.empty()) files.emplace_back(named);
  if (const auto file = docker_config_file()) files.push_back(*file);
  if (const auto run = environment("XDG_RUNTIME_DIR"); !run.empty()) files.push_back(std::filesystem::path(run) / "containers/auth.json");
  files.push_back(std::filesystem::path("/run/containers") / std::to_string(geteuid()) / "auth.json");
  for (const auto& file : files) {
    ASSIGN_OR_RETURN(auto found, from_file(file, key, repository));
    if (!found.empty()) return found;
  }
  return Credentials{};
}

}  // namespace engine::registry
