#pragma once
// SHA-256 and SHA-512 of a stream. Private to the room.
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace engine::registry {

class Hasher {
 public:
  /// `algorithm` is "sha256" or "sha512".
  explicit Hasher(std::string_view algorithm = "sha256");
  ~Hasher();
  Hasher(Hasher&&) noexcept;
  Hasher& operator=(Hasher&&) noexcept;
  Hasher(const Hasher&) = delete;
  Hasher& operator=(const Hasher&) = delete;
  void update(std::span<const char> bytes);
  /// "sha256:…"; ends the stream.
  std::string finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace engine::registry
