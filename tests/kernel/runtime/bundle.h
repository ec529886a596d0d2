#pragma once
// A bundle around the probe, and the runtime run on it.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/process.h"
#include "runtime/spec/docker_defaults.h"
#include "tests/support/support.h"

namespace runtime_test {

/// How a program of ours ended and what it printed.
struct Outcome {
  int code = -1;
  std::string out, err;
  /// The values of all "key=…" lines of a probe's report.
  [[nodiscard]] std::vector<std::string> all(const std::string& key) const;
  /// The first of them; "" when there is none.
  [[nodiscard]] std::string one(const std::string& key) const;
  [[nodiscard]] bool has(const std::string& text) const { return out.find(text) != std::string::npos; }
};

/// A root file system with the probe, the file that proves one is inside, and a config.json of Docker's defaults without a network
/// namespace cost where it does not matter. Each has a state folder and a cgroup path of its own; its end removes everything.
class Bundle {
 public:
  Bundle();
  ~Bundle();
  Bundle(const Bundle&) = delete;
  Bundle& operator=(const Bundle&) = delete;

  runtime::spec::Config config;           ///< changed by the test, written by the next command
  std::string program = "compose-runtime";  ///< in build/bin
  /// Words in front of the runtime's command line, their program by its absolute path: somebody else's rights.
  std::vector<std::string> before;
  [[nodiscard]] std::filesystem::path root() const { return folder_.path() / "rootfs"; }
  [[nodiscard]] const std::filesystem::path& folder() const { return folder_.path(); }
  [[nodiscard]] std::filesystem::path state() const { return folder_.path() / "state"; }
  [[nodiscard]] const std::string& id() const { return id_; }

  /// Sets the probe's command line.
  Bundle& probe(std::vector<std::string> words);
  /// `compose-runtime --root STATE WORDS…`; for create and run the config is written first.
  Outcome runtime(const std::vector<std::string>& words, const std::vector<std::pair<base::Fd, int>>& fds = {}) const;
  /// `run` in the foreground.
  Outcome run(const std::vector<std::string>& flags = {}) const;
  /// `run --detach`; output of the container goes to the file output().
  Outcome start(const std::vector<std::string>& flags = {}) const;
  Outcome exec(const std::vector<std::string>& flags, const std::vector<std::string>& command) const;
  [[nodiscard]] std::string status() const;
  void write_config() const;
  /// Waits until a detached container's init has ended and reaps it.
  int wait_init(pid_t pid) const;
  /// What is left of it: state folders and cgroups. "" when nothing.
  [[nodiscard]] std::string leftovers() const;

 private:
  support::TempDir folder_;
  std::string id_;
};

/// Whether containers can be made here at all.
std::string why_not();
#define NEED_CONTAINERS()                                                    \
  if (const std::string reason = runtime_test::why_not(); !reason.empty()) SKIP_TEST(reason)

/// What is said of a container that `run` refuses once `change` was made to its config; checks the exit code and that nothing is left.
std::string refusal(const std::function<void(runtime::spec::Config&)>& change);

/// One line, blanks squeezed: for comparing mountinfo fields.
std::string mount_line(const Outcome& outcome, const std::string& target);

}  // namespace runtime_test
