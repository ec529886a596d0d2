#define OPENSSL_SUPPRESS_DEPRECATED  // SHA256_Init and friends: the EVP way loads providers, a millisecond at start
#include "compose/load/digest.h"

#include <openssl/sha.h>

#include <array>

namespace compose::load {

std::string hex_sha256(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  SHA256_CTX state;
  SHA256_Init(&state);
  SHA256_Update(&state, text.data(), text.size());
  SHA256_Final(digest.data(), &state);
  static constexpr std::string_view digits = "0123456789abcdef";
  std::string hex;
  for (const unsigned char byte : digest) hex.append(1, digits[byte >> 4U]).append(1, digits[byte & 0xFU]);
  return hex;
}

}  // namespace compose::load
