// Digests and the places named after them.
#include <openssl/sha.h>
#include <sys/utsname.h>

#include "engine/api/paths.h"
#include "engine/images/image_store.h"

namespace engine::images {

std::string sha256_digest(std::string_view bytes) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> hash{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), hash.data());
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text = "sha256:";
  for (const auto byte : hash) {
    text += digits[byte >> 4U];
    text += digits[byte & 15U];
  }
  return text;
}

std::string chain_id(const std::string& parent_chain_id, const std::string& diff_id) {
  return parent_chain_id.empty() ? diff_id : sha256_digest(parent_chain_id + " " + diff_id);
}

std::filesystem::path layer_dir(const std::string& chain) { return paths::layers() / digest_hex(chain); }

std::filesystem::path blob_path(const std::string& digest) {
  return paths::images() / "blobs" / digest.substr(0, digest.find(':')) / digest_hex(digest);
}

std::string host_platform() {
  utsname names{};
  uname(&names);
  const std::string_view machine = names.machine;
  std::string word(machine);
  if (machine == "x86_64") word = "amd64";
  if (machine == "aarch64") word = "arm64";
  if (machine.starts_with("armv7") || machine == "armv8l") word = "arm/v7";
  if (machine.starts_with("armv6")) word = "arm/v6";
  if (machine == "i686" || machine == "i386") word = "386";
  return "linux/" + word;
}

}  // namespace engine::images
