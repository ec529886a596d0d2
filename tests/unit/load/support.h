#pragma once
// Loading in memory: files under /p, environment as given.
#include <map>
#include <string>

#include "compose/load/config_output.h"

namespace load_test {

using namespace compose::load;
using compose::model::Project;

struct Setup {
  std::map<std::string, std::string> files = {};       ///< name below /p → text
  compose::model::StringMap environment = {{"HOME", "/home/me"}};
  std::vector<std::string> compose_files = {"compose.yaml"};
  std::vector<std::string> profiles = {};
};

inline LoadResult load_files(const Setup& setup) {
  std::map<std::string, std::string> files;
  for (const auto& [name, text] : setup.files) files.emplace("/p/" + name, text);
  LoadOptions options;
  for (const auto& name : setup.compose_files) options.files.push_back("/p/" + name);
  options.working_dir = "/p";
  options.environment = setup.environment;
  options.profiles = setup.profiles;
  return load(options, *memory_files(files));
}

inline LoadResult load_text(const std::string& text) { return load_files({.files = {{"compose.yaml", text}}}); }

/// Every error as "line:column path: message", one a line; "" when the text loads.
inline std::string errors(const LoadResult& result) {
  std::string out;
  for (const auto& d : result.diagnostics) {
    if (d.severity != Severity::error) continue;
    if (d.at.known()) out += std::to_string(d.at.line) + ":" + std::to_string(d.at.column) + " ";
    if (!d.path.empty()) out += d.path + ": ";
    out += d.message + "\n";
  }
  return out;
}

inline std::string errors_of(const std::string& text) { return errors(load_text(text)); }

/// One service "a" with image x and the given attribute lines.
inline std::string service(const std::string& lines) { return "services:\n  a:\n    image: x\n    " + lines + "\n"; }

/// What `config` prints for that service, without its name and image lines.
inline std::string config_of(const std::string& lines) {
  const auto result = load_text("services: {b: {image: y}}\n---\n" + service(lines));
  if (!result.project) return errors(result);
  auto project = *result.project;
  std::erase_if(project.services, [](const auto& entry) { return entry.first != "a"; });
  std::string yaml = to_yaml(project);
  const auto cut = [&](const std::string& part) {
    if (const auto at = yaml.find(part); at != std::string::npos) yaml.erase(at, part.size());
  };
  cut("name: p\nservices:\n  a:\n");
  cut("    image: x\n");
  cut("    networks:\n      default: null\n");
  yaml.erase(std::min(yaml.find("\nnetworks:\n") + 1, yaml.size()));
  if (yaml.starts_with("networks:\n")) yaml.clear();
  return yaml;
}

}  // namespace load_test
