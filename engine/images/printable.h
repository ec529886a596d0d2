#pragma once
// Text from outside on its way to a terminal.
#include <string>
#include <string_view>

namespace engine::images {

/// Control characters as "\x1b": what an archive, an image or a registry says must not move the cursor, set titles or colours, or
/// answer for the user. Newlines and tabs stay, and so do bytes from 0x80 on, but for the C1 controls of UTF-8 (0xC2 0x80-0x9F).
std::string printable(std::string_view text);

}  // namespace engine::images
