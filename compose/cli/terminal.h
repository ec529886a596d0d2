#pragma once
#include <termios.h>

namespace compose::cli {

/// The terminal on standard input in raw mode while it lives; nothing when it is none.
class RawTerminal {
 public:
  RawTerminal();
  ~RawTerminal();
  RawTerminal(const RawTerminal&) = delete;
  RawTerminal& operator=(const RawTerminal&) = delete;

 private:
  termios saved_{};
  bool active_ = false;
};

}  // namespace compose::cli
