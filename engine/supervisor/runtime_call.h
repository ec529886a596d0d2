#pragma once
// Running compose-runtime. Blocking; thread-safe.
#include <chrono>
#include <string>
#include <utility>
#include <vector>

#include "base/process.h"
#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::supervisor {

struct RuntimeCall {
  std::vector<std::string> words;                      ///< verb and what follows
  std::vector<std::pair<base::Fd, int>> fds;           ///< as in base::SpawnOptions
  std::string log;                                     ///< file for its errors; "" = none are read
  std::chrono::seconds limit{60};                      ///< hooks of the specification run within
};

class Runtime {
 public:
  /// Finds the program and keeps a read-only mount of its file, which it is executed through (CVE-2019-5736).
  static base::Result<Runtime> open();

  /// Exit code 0 or an Error with the runtime's own words: not_found for 127, permission for 126, else io.
  base::Result<> run(const RuntimeCall& call) const;
  /// True when the runtime's state folder knows the container: saves starting it for nothing.
  [[nodiscard]] bool knows(const std::string& id) const;
  [[nodiscard]] const std::string& root() const { return root_; }

 private:
  std::string program_, root_;
  base::UniqueFd mount_;
};

}  // namespace engine::supervisor
