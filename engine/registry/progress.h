#pragma once
#include <cstdint>
#include <functional>
#include <string>

namespace engine::registry {

/// One line of progress: {"Downloading", "a1b2c3d4e5f6", current, total}. total 0 = unknown or none.
struct ProgressEvent {
  std::string id;       ///< short layer digest, or "" for the whole
  std::string status;   ///< Docker's words: "Pulling fs layer" "Downloading" "Extracting" "Pull complete" "Already exists" "Pushing" "Pushed"
  std::int64_t current = 0, total = 0;
};
/// Called from several threads, never two at once.
using ProgressSink = std::function<void(const ProgressEvent&)>;

}  // namespace engine::registry
