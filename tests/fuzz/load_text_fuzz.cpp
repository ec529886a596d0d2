// The small parsers of the loader, each over the whole input: variables, env files, ports, mounts, devices, command lines,
// durations, sizes, timestamps.
#include <cstdlib>
#include <string_view>

#include "compose/load/dotenv.h"
#include "compose/load/load.h"
#include "compose/load/scalar.h"
#include "compose/load/shorts.h"
#include "compose/load/template.h"
#include "compose/load/units.h"

using namespace compose::load;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const Lookup lookup = [](std::string_view name) -> std::optional<std::string> {
    return name.size() % 2 == 0 ? std::optional<std::string>("v$X") : std::nullopt;
  };
  (void)substitute(text, lookup, 1U << 20U);
  (void)variables_in(text);
  (void)parse_dotenv(text, lookup);
  (void)parse_raw_env(text, lookup);
  if (size < 256) (void)parse_ports(text);
  (void)parse_mount(text);
  (void)parse_device(text);
  (void)split_words(text);
  (void)normalize_project_name(text);
  (void)parse_bytes(text);
  if (const auto duration = parse_duration(text)) {
    // What is printed reads back to the same length of time.
    if (parse_duration(format_duration(*duration)) != duration) std::abort();
  }
  if (is_timestamp(text)) (void)format_timestamp(text);
  (void)needs_quotes(text);
  return 0;
}
