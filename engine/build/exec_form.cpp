#include <nlohmann/json.hpp>

#include "engine/build/instruction.h"
#include "engine/build/words.h"

namespace engine::build {

Result<std::optional<std::vector<std::string>>> parse_exec_form(const std::string& text) {
  const std::string_view trimmed = trim(text);
  if (trimmed.empty() || trimmed.front() != '[') return std::optional<std::vector<std::string>>();
  const auto json = nlohmann::json::parse(trimmed, nullptr, /*allow_exceptions=*/false);
  if (!json.is_array()) return std::optional<std::vector<std::string>>();
  std::vector<std::string> words;
  for (const auto& item : json) {
    if (!item.is_string())
      return base::make_error(base::ErrorKind::invalid, "when using JSON array syntax, arrays must be comprised of strings only");
    words.push_back(item.get<std::string>());
  }
  return std::optional(std::move(words));
}

}  // namespace engine::build
