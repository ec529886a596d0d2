#pragma once
// Firewall rules through libnftables, in process. Internal to the room.
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace network {

struct NftLibrary;

/// libnftables in one namespace. A context is made for each run (60 µs): kept, it holds half a megabyte. Thread: any; all of the
/// process take turns (libnftables has globals).
class Nft {
 public:
  /// In the calling thread's namespace.
  static base::Result<Nft> open();
  static base::Result<Nft> open(base::Fd netns);

  /// Runs commands in nft's language as one transaction; what they print. The error carries nft's first line.
  base::Result<std::string> run(const std::string& commands);
  base::Result<std::string> run_json(const std::string& commands);

 private:
  Nft(const NftLibrary& library, base::UniqueFd netns) : library_(&library), netns_(std::move(netns)) {}
  base::Result<std::string> run(const std::string& commands, unsigned flags);
  const NftLibrary* library_;
  base::UniqueFd netns_;
};

struct NftRule {
  std::uint64_t handle = 0;
  std::string comment;
};
base::Result<std::vector<NftRule>> list_rules(Nft& nft, const std::string& family, const std::string& table,
                                              const std::string& chain);

/// Table `inet compose` of one namespace. Elements as nft writes them ("tcp . 80" → "10.0.0.1 . 80").
struct NftTable {
  std::string rules;  ///< chains and rules in a canonical form, for comparison; "" = the table is missing
  std::map<std::string, std::map<std::string, std::string>> maps;  ///< by map name
  std::map<std::string, std::vector<std::string>> sets;            ///< by set name
};
/// A missing table is an empty NftTable, not an error.
base::Result<NftTable> read_table(Nft& nft);

}  // namespace network
