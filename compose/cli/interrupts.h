#pragma once
// Signals and a clock as one descriptor that the client's blocking calls can watch.
#include <csignal>

#include "base/result.h"
#include "base/unique_fd.h"

namespace compose::cli {

enum class Wake : std::uint8_t { none, interrupt, terminate, resized, tick };

/// While it lives, SIGINT, SIGTERM, SIGHUP and SIGWINCH arrive here instead of ending the process.
class Interrupts {
 public:
  /// `tick_ms` 0: no clock.
  static base::Result<Interrupts> make(int tick_ms);
  Interrupts(Interrupts&&) noexcept = default;
  Interrupts& operator=(Interrupts&&) noexcept = default;
  ~Interrupts();

  /// Readable when next() has something.
  [[nodiscard]] base::Fd fd() const { return all_.borrow(); }
  /// Takes one; `none` when there is nothing (does not block).
  Wake next();

 private:
  Interrupts() = default;
  base::UniqueFd all_, signals_, clock_;
  sigset_t before_{};
};

}  // namespace compose::cli
