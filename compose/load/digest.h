#pragma once
#include <string>
#include <string_view>

namespace compose::load {

/// SHA-256 as 64 hexadecimal digits.
std::string hex_sha256(std::string_view text);

}  // namespace compose::load
