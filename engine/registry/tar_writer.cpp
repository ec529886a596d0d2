#include "engine/registry/tar_writer.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace engine::registry {

namespace {

constexpr std::size_t block_size = 512;
using Block = std::array<char, block_size>;

void put_text(Block& block, std::size_t offset, std::size_t size, std::string_view text) {
  std::memcpy(block.data() + offset, text.data(), std::min(size, text.size()));
}

/// Octal with a final NUL; false when it does not fit.
bool put_number(Block& block, std::size_t offset, std::size_t size, std::int64_t value) {
  if (value < 0 || (value >> (3 * (size - 1))) != 0) return false;
  for (std::size_t i = size - 1; i-- > 0; value >>= 3) block.at(offset + i) = static_cast<char>('0' + (value & 7));
  return true;
}

void put_checksum(Block& block) {
  std::memset(block.data() + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(block.data() + 148, 8, "%06o", sum);
  block[155] = ' ';
}

std::string record(std::string_view key, std::string_view value) {
  const auto body = key.size() + value.size() + 3;
  auto length = body + std::to_string(body).size();
  if (std::to_string(length).size() != std::to_string(body).size()) length = body + std::to_string(length).size();
  return std::to_string(length) + " " + std::string(key) + "=" + std::string(value) + "\n";
}

std::string seconds(std::int64_t whole, std::int64_t nanoseconds) {
  // -0.5 s is stored as -1 s + 0.5 s; PAX writes the decimal.
  const bool negative = whole < 0 && nanoseconds > 0;
  if (negative) ++whole, nanoseconds = 1'000'000'000 - nanoseconds;
  auto text = (negative && whole == 0 ? "-" : "") + std::to_string(whole);
  if (nanoseconds == 0) return text;
  auto digits = std::to_string(1'000'000'000 + nanoseconds).substr(1);
  while (digits.back() == '0') digits.pop_back();
  return text + "." + digits;
}

void put_name(Block& block, const std::string& name, std::string& pax) {
  if (name.size() <= 100) return put_text(block, 0, 100, name);
  // ustar splits at a slash: prefix of 155, name of 100.
  const auto slash = name.find('/', name.size() > 101 ? name.size() - 101 : 0);
  if (slash != std::string::npos && slash <= 155 && slash + 1 < name.size()) {
    put_text(block, 345, 155, name.substr(0, slash));
    return put_text(block, 0, 100, name.substr(slash + 1));
  }
  pax += record("path", name);
  put_text(block, 0, 100, name.substr(0, 100));
}

}  // namespace

Result<> TarWriter::flush() {
  if (buffer_.empty()) return {};
  auto done = sink_(std::span<const char>(buffer_.data(), buffer_.size()));
  buffer_.clear();
  return done;
}

Result<> TarWriter::put(std::string_view bytes) {
  if (buffer_.size() + bytes.size() > buffer_max) TRY(flush());
  if (bytes.size() >= buffer_max) return sink_(std::span<const char>(bytes.data(), bytes.size()));
  buffer_ += bytes;
  return {};
}

Result<> TarWriter::data(std::span<const char> bytes) { return put({bytes.data(), bytes.size()}); }

Result<> TarWriter::end_data(std::int64_t size) {
  const auto rest = static_cast<std::size_t>(size) % block_size;
  if (rest == 0) return {};
  return put(std::string(block_size - rest, '\0'));
}

Result<> TarWriter::header(const TarHeader& header) {
  Block block{};
  std::string pax;
  put_name(block, header.name, pax);
  if (header.link.size() > 100) pax += record("linkpath", header.link);
  put_text(block, 157, 100, header.link);
  put_number(block, 100, 8, header.mode);
  if (!put_number(block, 108, 8, header.uid)) pax += record("uid", std::to_string(header.uid));
  if (!put_number(block, 116, 8, header.gid)) pax += record("gid", std::to_string(header.gid));
  if (!put_number(block, 124, 12, header.size)) pax += record("size", std::to_string(header.size));
  if (!put_number(block, 136, 12, header.mtime_s) || header.mtime_ns != 0) pax += record("mtime", seconds(header.mtime_s, header.mtime_ns));
  for (const auto& [key, value] : header.xattrs) pax += record("SCHILY.xattr." + key, value);
  block[156] = static_cast<char>(header.type);
  put_text(block, 257, 8, std::string_view("ustar\00000", 8));
  put_number(block, 329, 8, header.device_major);
  put_number(block, 337, 8, header.device_minor);
  put_checksum(block);
  if (!pax.empty()) {
    Block extended{};
    put_text(extended, 0, 100, "PaxHeaders.0/entry");
    put_number(extended, 100, 8, 0644);
    put_number(extended, 108, 8, 0);
    put_number(extended, 116, 8, 0);
    put_number(extended, 124, 12, static_cast<std::int64_t>(pax.size()));
    put_number(extended, 136, 12, 0);
    extended[156] = 'x';
    put_text(extended, 257, 8, std::string_view("ustar\00000", 8));
    put_checksum(extended);
    TRY(put({extended.data(), extended.size()}));
    TRY(put(pax));
    TRY(end_data(static_cast<std::int64_t>(pax.size())));
  }
  return put({block.data(), block.size()});
}

Result<> TarWriter::finish() {
  TRY(put(std::string(2 * block_size, '\0')));
  return flush();
}

}  // namespace engine::registry
