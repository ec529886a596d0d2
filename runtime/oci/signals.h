#pragma once
#include <optional>
#include <string>

namespace runtime::oci {

/// "TERM", "SIGTERM", "15", "SIGRTMIN+3" → its number; nothing for anything else.
std::optional<int> signal_number(const std::string& text);

}  // namespace runtime::oci
