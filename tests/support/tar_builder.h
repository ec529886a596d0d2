#pragma once
// Tar archives for tests, the hostile kinds included: headers are made here, not by the code under test.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace support {

struct TarItem {
  std::string name;
  char type = '0';
  std::string content, link;
  unsigned mode = 0644, uid = 0, gid = 0;
  std::int64_t mtime = 1'000'000'000;
  unsigned device_major = 0, device_minor = 0;
  std::vector<std::pair<std::string, std::string>> pax;  ///< records of a PAX header in front
  std::int64_t stated_size = -1;                         ///< instead of the content's size
};

/// One entry: header blocks, data and padding.
std::string tar_item(const TarItem& item);
/// Entries and the end mark.
std::string tar_archive(const std::vector<TarItem>& items);

}  // namespace support
