#pragma once
// Bytes as text and back.
#include <string>
#include <string_view>

namespace engine::registry {

/// RFC 4648, without line breaks.
std::string encode_base64(std::string_view bytes);
/// The URL-safe alphabet too; "" for malformed text.
std::string decode_base64(std::string_view text);
/// "%20" → " " (RFC 3986 section 2.1); what is no escape stays as it is.
std::string percent_decoded(std::string_view text);

}  // namespace engine::registry
