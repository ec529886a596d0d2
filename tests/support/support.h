#pragma once
// What tests of every room share.
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

/// Ends the test case as skipped (ctest shows it so); with COMPOSE_REQUIRE_NS=1 (CI) a skip is a failure.
/// Catch2 v2 has no SKIP().
#define SKIP_TEST(why)                                              \
  do {                                                              \
    if (support::skips_are_failures()) FAIL("skipped here: " << (why)); \
    WARN("SKIP: " << (why));                                        \
    return;                                                         \
  } while (false)

namespace support {

bool skips_are_failures();

/// A folder of its own under the system's temporary folder; removed with all below it at the end.
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// Writes a file below it, making folders as needed; returns its path.
  std::filesystem::path write(const std::filesystem::path& relative, std::string_view text) const;

 private:
  std::filesystem::path path_;
};

/// Asks `holds` until it is true; false when `limit` passes first.
bool eventually(const std::function<bool()>& holds,
                std::chrono::milliseconds limit = std::chrono::seconds(10));

/// Runs `body` in a child of one thread with new namespaces (CLONE_NEW… flags), and returns what it printed as its result.
/// An Error when the namespaces may not be made or the child dies. `body` must not use Catch2.
base::Result<std::string> in_namespaces(int flags, const std::function<std::string()>& body);

/// What the machine holds of ours: compared before and after a kernel test. Lists mounts, links, open fds and cgroups
/// with "compose" in their name, one a line.
std::string kernel_leftovers();

}  // namespace support
