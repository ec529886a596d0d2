#include "engine/registry/hash.h"

#include <openssl/evp.h>

#include <array>

namespace engine::registry {

struct Hasher::State {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  std::string algorithm;
  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { EVP_MD_CTX_free(context); }
};

Hasher::Hasher(std::string_view algorithm) : state_(std::make_unique<State>()) {
  state_->algorithm = algorithm;
  EVP_DigestInit_ex(state_->context, algorithm == "sha512" ? EVP_sha512() : EVP_sha256(), nullptr);
}
Hasher::~Hasher() = default;
Hasher::Hasher(Hasher&&) noexcept = default;
Hasher& Hasher::operator=(Hasher&&) noexcept = default;

void Hasher::update(std::span<const char> bytes) { EVP_DigestUpdate(state_->context, bytes.data(), bytes.size()); }

std::string Hasher::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> hash{};
  unsigned length = 0;
  EVP_DigestFinal_ex(state_->context, hash.data(), &length);
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = state_->algorithm + ":";
  for (unsigned i = 0; i < length; ++i) {
    text += digits[hash.at(i) >> 4U];
    text += digits[hash.at(i) & 15U];
  }
  return text;
}

}  // namespace engine::registry
