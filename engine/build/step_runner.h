#pragma once
// Who executes a RUN: the runtime, or a fake in tests.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/api/types.h"
#include "engine/build/session.h"
#include "base/unique_fd.h"
#include "engine/containers/user.h"
#include "runtime/spec/spec.h"

namespace engine::build {

struct RunStep {
  std::vector<std::string> args, env;
  std::string cwd = "/";
  containers::Identity who;
  base::Fd root;                                ///< the merged root, writable
  std::vector<runtime::spec::Mount> mounts;     ///< beside Docker's own
  std::vector<base::Fd> fds;                    ///< mounts name them /proc/self/fd/(first_fd + index)
  std::string network;                          ///< default | none | host
  std::string hostname;                         ///< "" = BuildKit's "buildkitsandbox"
  base::Fd netns;                               ///< of network "default"; invalid: the runtime makes an empty one
  std::int64_t memory_bytes = 0;                ///< limit of the whole step; 0 = none
  bool insecure = false;
  std::int64_t shm_size_bytes = 0;
  std::vector<Ulimit> ulimits;
  static constexpr int first_fd = 11;
};

class StepRunner {
 public:
  virtual ~StepRunner() = default;
  /// Runs it to its end; stdout and stderr go to `output` as they come. Returns the exit code.
  /// Errors: cancelled; whatever kept it from starting. Called from several threads.
  virtual Result<int> run(const RunStep& step, const std::function<void(std::string_view)>& output) = 0;
};

/// Runs steps under compose-runtime, until they end or one of the two descriptors becomes readable: the user cancels, another step failed.
std::unique_ptr<StepRunner> make_runtime_runner(Session& session, base::Fd cancel_fd, base::Fd stop_fd);

}  // namespace engine::build
