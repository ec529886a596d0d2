#include "tests/support/tar_builder.h"

#include <array>
#include <cstdio>
#include <cstring>

namespace support {

namespace {

void octal(char* at, std::size_t size, std::int64_t value) {
  at[size - 1] = 0;
  for (std::size_t i = size - 1; i-- > 0; value >>= 3) at[i] = static_cast<char>('0' + (value & 7));
}

std::string padded(std::string text) {
  text.resize((text.size() + 511) / 512 * 512, '\0');
  return text;
}

}  // namespace

std::string tar_item(const TarItem& item) {
  std::string before;
  if (!item.pax.empty()) {
    std::string records;
    for (const auto& [key, value] : item.pax) {
      const auto body = key.size() + value.size() + 3;
      auto length = body + 1;
      while (std::to_string(length).size() + body != length) ++length;
      records += std::to_string(length) + " " + key + "=" + value + "\n";
    }
    before = tar_item({.name = "pax", .type = 'x', .content = records});
  }
  std::array<char, 512> block{};
  std::memcpy(block.data(), item.name.data(), std::min<std::size_t>(item.name.size(), 100));
  std::memcpy(block.data() + 157, item.link.data(), std::min<std::size_t>(item.link.size(), 100));
  octal(block.data() + 100, 8, item.mode);
  octal(block.data() + 108, 8, item.uid);
  octal(block.data() + 116, 8, item.gid);
  octal(block.data() + 124, 12, item.stated_size >= 0 ? item.stated_size : static_cast<std::int64_t>(item.content.size()));
  octal(block.data() + 136, 12, item.mtime);
  octal(block.data() + 329, 8, item.device_major);
  octal(block.data() + 337, 8, item.device_minor);
  block[156] = item.type;
  std::memcpy(block.data() + 257, "ustar\0" "00", 8);
  std::memset(block.data() + 148, ' ', 8);
  unsigned sum = 0;
  for (const char c : block) sum += static_cast<unsigned char>(c);
  std::snprintf(block.data() + 148, 8, "%06o", sum);
  return before + std::string(block.data(), block.size()) + padded(item.content);
}

std::string tar_archive(const std::vector<TarItem>& items) {
  std::string all;
  for (const auto& item : items) all += tar_item(item);
  return all + std::string(1024, '\0');
}

}  // namespace support
