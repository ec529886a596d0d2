#pragma once
// What goes over an attached connection after the HTTP upgrade: frames of [type, 0, 0, 0, length (4 bytes, big endian)] + payload,
// the form of Docker's attach stream with types of ours added.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace engine::attach {

enum class Type : std::uint8_t {
  input = 0,        ///< client → container
  output = 1,       ///< container → client; with a terminal everything
  error = 2,
  resize = 3,       ///< client: "ROWS COLUMNS" in decimal
  close_input = 4,  ///< client: end of its input
  exit = 5,         ///< the container ended: exit code in decimal, "" = unknown. The last frame.
};

inline constexpr std::size_t header_bytes = 8;
inline constexpr std::size_t payload_bytes_max = 1u << 20;

inline std::string header(Type type, std::size_t size) {
  std::string out(header_bytes, '\0');
  out[0] = static_cast<char>(type);
  for (int i = 0; i < 4; ++i) out[4 + static_cast<std::size_t>(i)] = static_cast<char>((size >> (24 - 8 * i)) & 0xff);
  return out;
}

struct Frame {
  Type type;
  std::string_view payload;
  std::size_t size;  ///< header included
};

/// The first whole frame in `bytes`; none when it is not complete (or longer than the limit: the caller sees its buffer grow past it).
inline std::optional<Frame> parse(std::string_view bytes) {
  if (bytes.size() < header_bytes) return std::nullopt;
  std::size_t size = 0;
  for (std::size_t i = 4; i < 8; ++i) size = size << 8 | static_cast<unsigned char>(bytes[i]);
  if (size > payload_bytes_max || bytes.size() < header_bytes + size) return std::nullopt;
  return Frame{static_cast<Type>(bytes[0]), bytes.substr(header_bytes, size), header_bytes + size};
}

}  // namespace engine::attach
