#pragma once
#include <utility>

namespace base {

/// A file descriptor somebody else owns. -1 is "none".
class Fd {
 public:
  constexpr Fd() = default;
  constexpr explicit Fd(int number) : number_(number) {}
  [[nodiscard]] constexpr int number() const { return number_; }
  [[nodiscard]] constexpr bool valid() const { return number_ >= 0; }

 private:
  int number_ = -1;
};

/// Owns a file descriptor; closes it once. -1 is "none".
///
/// close(2) is not retried on EINTR: Linux has released the number by then, and it may be someone else's already.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int number) : number_(number) {}
  UniqueFd(UniqueFd&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    if (this != &other) {
      reset();
      number_ = std::exchange(other.number_, -1);
    }
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int number() const { return number_; }
  [[nodiscard]] bool valid() const { return number_ >= 0; }
  [[nodiscard]] Fd borrow() const { return Fd(number_); }
  /// Gives the descriptor away; the caller must close it.
  [[nodiscard]] int release() { return std::exchange(number_, -1); }
  void reset();

 private:
  int number_ = -1;
};

}  // namespace base
