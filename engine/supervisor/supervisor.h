#pragma once
#include <string>

namespace engine::supervisor {

struct SupervisorOptions {
  std::string project;
  int link_fd = -1;   ///< the pair to the keeper
  int ready_fd = -1;  ///< gets "ok\n" once the API answers, or why it does not
};

/// Runs until nothing of the project runs; the exit status of the program (keeper.h).
int supervise(const SupervisorOptions& options);

}  // namespace engine::supervisor
