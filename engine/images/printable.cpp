#include "engine/images/printable.h"

namespace engine::images {

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto shown = [&out](unsigned char c) {
    out += "\\x";
    out += "0123456789abcdef"[c >> 4U];
    out += "0123456789abcdef"[c & 15U];
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text[i]);
    const auto next = i + 1 < text.size() ? static_cast<unsigned char>(text[i + 1]) : 0U;
    if (c == 0xc2 && next >= 0x80 && next < 0xa0) {
      shown(c);
      shown(static_cast<unsigned char>(text[++i]));
    } else if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f) {
      shown(c);
    } else {
      out += static_cast<char>(c);
    }
  }
  return out;
}

}  // namespace engine::images
