// A compose file, its override and its env file, separated by a line "%%%": whatever the bytes, loading ends with a project
// or with errors, and what a project prints loads back to the same print.
#include <cstdlib>
#include <string>
#include <string_view>

#include "compose/load/config_output.h"

using namespace compose::load;

namespace {

LoadResult load_files(std::map<std::string, std::string> files) {
  LoadOptions options;
  options.files = {"/p/compose.yaml"};
  if (files.contains("/p/override.yaml")) options.files.push_back("/p/override.yaml");
  options.working_dir = "/p";
  options.environment = {{"HOME", "/home/me"}};
  options.profiles = {"*"};
  return load(options, *memory_files(std::move(files)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::map<std::string, std::string> files;
  for (const char* name : {"/p/compose.yaml", "/p/override.yaml", "/p/.env"}) {
    const auto end = text.find("\n%%%\n");
    files[name] = text.substr(0, end);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 5);
  }
  const LoadResult result = load_files(files);
  (void)print(result.diagnostics, result.sources, {.colour = false, .time = "T"});
  if (!result.project) {
    if (!has_errors(result.diagnostics)) std::abort();
    return 0;
  }
  const auto chosen = select(*result.project, {});
  (void)to_json(*chosen.project);
  (void)to_yaml(*chosen.project);
  for (const auto& [name, service] : chosen.project->services)
    if (config_hash(*chosen.project, name).size() != 64) std::abort();
  return 0;
}
