#pragma once
// Progress on standard error: live lines on a terminal, one line a change otherwise, JSON objects, or nothing.
#include <memory>
#include <string>

#include "engine/api/plan.h"

namespace compose::cli {

/// One change. `detail` follows on a terminal ("[====>   ] 12MB/30MB"); errors go with status "Error".
struct Change {
  std::string id;        ///< "Container demo-web-1", "web" (pull)
  std::string status;    ///< Docker Compose's word
  std::string detail;
  bool sentence = false; ///< `id` says what is done: "demo-web-1 copy a to demo-web-1:/a"
};

class ProgressWriter {
 public:
  virtual ~ProgressWriter() = default;
  virtual void change(const Change& change) = 0;
  /// Redraws (spinner, clock); called a few times a second while waiting.
  virtual void tick() {}
  /// The last state stays on the screen.
  virtual void finish() {}
};

/// The writer --progress and the terminal ask for. `heading`: "Running" in "[+] Running 2/3".
std::unique_ptr<ProgressWriter> make_progress(const std::string& heading);

/// Whether `status` means that nothing more will come for its id.
bool is_final(std::string_view status);

Change to_change(const engine::Progress& progress);

}  // namespace compose::cli
