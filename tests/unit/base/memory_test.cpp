#include "base/memory.h"

#include <malloc.h>

#include <catch2/catch.hpp>
#include "tests/support/support.h"
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/sys.h"

namespace {

/// KiB of the program's own code that are mapped now. Source: proc_pid_smaps(5).
long code_kib() {
  const auto self = std::filesystem::read_symlink("/proc/self/exe").string();
  std::istringstream maps(*base::sys::read_file("/proc/self/smaps"));
  bool ours = false;
  long sum = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find(self) != std::string::npos) ours = line.find(" r-xp ") != std::string::npos;
    else if (ours && line.starts_with("Rss:")) sum += std::stol(line.substr(4));
    else if (line.starts_with("VmFlags:")) ours = false;
  }
  return sum;
}

/// Bytes the process has mapped that are nowhere but in memory. Source: proc_pid_statm(5).
long anonymous_pages() {
  long size = 0, resident = 0, shared = 0;
  std::ifstream("/proc/self/statm") >> size >> resident >> shared;
  return resident - shared;
}

}  // namespace

TEST_CASE("memory given back leaves neither code nor heap mapped, and the process runs on", "[memory]") {
#ifdef __SANITIZE_ADDRESS__
  SKIP_TEST("the address sanitizer's heap keeps what is freed");
#endif
  std::vector<std::unique_ptr<std::string>> blocks;
  for (int i = 0; i < 4000; ++i) blocks.push_back(std::make_unique<std::string>(4096, 'x'));
  const auto last = std::move(blocks.back());  // the heap cannot shrink from its end
  const long full = anonymous_pages();
  blocks.clear();
  (void)code_kib();  // its code is in memory from here on
  const long before = code_kib();
  base::release_memory();
  const long after = code_kib();
  INFO("code " << before << " -> " << after << " KiB");
  CHECK(after < before);
  CHECK(anonymous_pages() < full - 3000);
  CHECK(last->back() == 'x');
}
