#pragma once
// Members of one flat JSON object on one line, as our workers print them: enough to read progress without a JSON library.
#include <optional>
#include <string>
#include <string_view>

namespace compose::cli {

/// The string member `name`, escapes resolved; nothing when it is absent or of another type.
std::optional<std::string> json_text(std::string_view line, std::string_view name);
/// The number member `name`.
std::optional<double> json_number(std::string_view line, std::string_view name);

}  // namespace compose::cli
