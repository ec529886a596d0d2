// .dockerignore: the first line is a path, the rest are patterns. Then the small texts of COPY, ADD and git contexts.
#include <string_view>

#include "engine/build/git.h"
#include "engine/build/ignore.h"
#include "engine/build/rights.h"
#include "engine/build/step_network.h"

using namespace engine::build;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  if (size > 4096) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\n');
  const std::string path(text.substr(0, end));
  const std::string_view rest = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  if (const auto rules = IgnoreRules::parse(rest)) (void)rules->ignored(path);
  (void)check_glob(path);
  (void)glob_match(path, rest.substr(0, 200));
  (void)clean_path(path);
  (void)parse_git(path);
  (void)ModeChange::parse(path);
  (void)step_resolv(std::string(text), path);
  return 0;
}
