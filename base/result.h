#pragma once
#include <cstdlib>
#include <expected>
#include <string>
#include <type_traits>
#include <utility>

#include "base/error.h"

namespace base {

/// A value or an Error. Unlike std::expected it may not be dropped silently.
template <class T = void>
class [[nodiscard]] Result {
 public:
  using Value = T;

  Result()
    requires std::is_void_v<T>
  = default;
  Result(Error error) : value_(std::unexpected(std::move(error))) {}  // NOLINT: implicit by design
  template <class U = T>
    requires(!std::is_void_v<T> && std::is_constructible_v<T, U &&> &&
             !std::is_same_v<std::remove_cvref_t<U>, Error> &&
             !std::is_same_v<std::remove_cvref_t<U>, Result>)
  Result(U&& value) : value_(std::forward<U>(value)) {}  // NOLINT: implicit by design

  [[nodiscard]] bool has_value() const { return value_.has_value(); }
  explicit operator bool() const { return value_.has_value(); }

  decltype(auto) operator*() & { return *value_; }
  decltype(auto) operator*() const& { return *value_; }
  decltype(auto) operator*() && { return *std::move(value_); }
  auto operator->() { return &*value_; }
  auto operator->() const { return &*value_; }

  [[nodiscard]] const Error& error() const& { return value_.error(); }
  [[nodiscard]] Error&& error() && { return std::move(value_).error(); }

  /// The same result; on failure `what` is added as the outermost context.
  Result with(std::string what) && {
    if (!value_) value_.error().context.push_back(std::move(what));
    return std::move(*this);
  }

 private:
  std::expected<T, Error> value_;
};

}  // namespace base

#define BASE_CONCAT_(a, b) a##b
#define BASE_CONCAT(a, b) BASE_CONCAT_(a, b)

/// Returns the error of a Result from the enclosing function, if it has one.
#define TRY(expression)                                                              \
  do {                                                                               \
    if (auto base_try_ = (expression); !base_try_) return std::move(base_try_).error(); \
  } while (false)

/// ASSIGN_OR_RETURN(auto x, f()): `x` is f()'s value; its error is returned from the enclosing function.
#define ASSIGN_OR_RETURN(declaration, expression) \
  BASE_ASSIGN_OR_RETURN_(BASE_CONCAT(base_assign_, __COUNTER__), declaration, expression)
#define BASE_ASSIGN_OR_RETURN_(name, declaration, expression) \
  auto name = (expression);                                   \
  if (!name) return std::move(name).error();                  \
  declaration = *std::move(name)
