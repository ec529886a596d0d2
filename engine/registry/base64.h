#pragma once
// RFC 4648, without line breaks.
#include <string>
#include <string_view>

namespace engine::registry {

std::string encode_base64(std::string_view bytes);
/// The URL-safe alphabet too; "" for malformed text.
std::string decode_base64(std::string_view text);

}  // namespace engine::registry
