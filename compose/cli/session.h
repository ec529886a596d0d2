#pragma once
// This terminal as a container's: bytes both ways, size changes, signals, detach keys.
#include <string>

#include "base/result.h"
#include "engine/client/client.h"

namespace compose::cli {

struct SessionOptions {
  std::string project, container;
  bool tty = false, input = true;
  bool forward_signals = true;       ///< Ctrl-C and SIGTERM go to the container; else they detach
  std::string detach_keys;           ///< "" = ctrl-p,ctrl-q
};

/// Until the container ends (its code; 1 when unknown) or the user detaches (0).
base::Result<int> run_session(engine::client::Attachment& attachment, const SessionOptions& options);

/// "ctrl-p,ctrl-q" → "\x10\x11". Error invalid for anything else.
base::Result<std::string> parse_detach_keys(const std::string& text);

}  // namespace compose::cli
