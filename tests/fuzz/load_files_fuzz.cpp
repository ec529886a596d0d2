// Several files that include and extend each other, found as the command line finds them: discovery, include, extends, env
// files, the verbs that explain, and what is published. The files are separated by a line "%%%".
#include <cstdlib>
#include <string>
#include <string_view>

#include "compose/load/config_output.h"
#include "compose/load/explain.h"
#include "compose/load/publish.h"

using namespace compose::load;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  std::map<std::string, std::string> named;
  for (const char* name : {"/p/compose.yaml", "/p/base.yaml", "/p/inc/compose.yaml", "/p/.env", "/p/e.env", "/p/compose.override.yaml"}) {
    const auto end = text.find("\n%%%\n");
    named[name] = text.substr(0, end);
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 5);
  }
  const auto files = memory_files(std::move(named));
  const CommandLine line{.profiles = {"*"}, .environment = {{"HOME", "/home/me"}}, .current_dir = "/p"};
  const DiscoverResult found = discover(line, *files);
  (void)print(found.diagnostics, found.sources, {.colour = false, .time = "T"});
  if (!found.options) return 0;
  const ExplainInput input{.line = line, .found = found, .files = *files};
  (void)explain_value(input, "services");
  (void)explain_variable(input, "A");
  (void)variables(*found.options, *files, Format::table);
  (void)published_files(*found.options, *files);
  const RawConfig raw = raw_config(*found.options, *files, false);
  if (!raw.text && !has_errors(raw.load.diagnostics)) std::abort();
  return 0;
}
