#include "runtime/linux/memory_policy.h"

#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>

#include "base/sys.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::ErrorKind;
using base::Result;

namespace {

struct Word {
  std::string_view name;
  int value;
};
constexpr int weighted_interleave = 6;  // MPOL_WEIGHTED_INTERLEAVE: Linux 6.9
constexpr Word modes[] = {{"MPOL_DEFAULT", MPOL_DEFAULT},       {"MPOL_PREFERRED", MPOL_PREFERRED},
                          {"MPOL_BIND", MPOL_BIND},             {"MPOL_INTERLEAVE", MPOL_INTERLEAVE},
                          {"MPOL_LOCAL", MPOL_LOCAL},           {"MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY},
                          {"MPOL_WEIGHTED_INTERLEAVE", weighted_interleave}};
constexpr Word flags[] = {{"MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING},
                          {"MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES},
                          {"MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES}};
constexpr std::size_t nodes_max = 4096;

template <std::size_t n>
Result<int> look_up(const Word (&table)[n], const std::string& word, const char* property) {
  const auto* at = std::ranges::find(table, word, &Word::name);
  if (at != std::end(table)) return at->value;
  return base::make_error(ErrorKind::invalid, concat({"linux.memoryPolicy.", property, ": unknown '", word, "'"}));
}

/// "0-3,7": numbers and ranges.
bool set_nodes(std::string_view list, std::vector<unsigned long>& mask) {
  constexpr std::size_t bits = 8 * sizeof(unsigned long);
  bool valid = true;
  for_each_word(list, ',', [&](std::string_view part) {
    std::size_t first = 0, last = 0;
    const char* const end = part.data() + part.size();
    auto read = std::from_chars(part.data(), end, first);
    last = first;
    if (read.ec == std::errc() && read.ptr != end && *read.ptr == '-') read = std::from_chars(read.ptr + 1, end, last);
    if (read.ec != std::errc() || read.ptr != end || last < first || last >= nodes_max) {
      valid = false;
      return;
    }
    if (mask.size() < last / bits + 1) mask.resize(last / bits + 1);
    for (std::size_t node = first; node <= last; ++node) mask[node / bits] |= 1UL << (node % bits);
  });
  return valid && !mask.empty();
}

template <std::size_t n>
std::vector<std::string> names_of(const Word (&table)[n]) {
  std::vector<std::string> out;
  for (const Word& word : table) out.emplace_back(word.name);
  return out;
}

}  // namespace

Result<MemoryPolicyCall> memory_policy_call(const spec::MemoryPolicy& policy) {
  MemoryPolicyCall call;
  ASSIGN_OR_RETURN(call.mode, look_up(modes, policy.mode, "mode"));
  for (const auto& name : policy.flags) {
    ASSIGN_OR_RETURN(const int flag, look_up(flags, name, "flags"));
    call.mode |= flag;
  }
  if (!policy.nodes.empty() && !set_nodes(policy.nodes, call.nodes))
    return base::make_error(ErrorKind::invalid, "linux.memoryPolicy.nodes: '" + policy.nodes + "' is not a list of nodes");
  return call;
}

Result<> apply_memory_policy(const MemoryPolicyCall& call) {
  // The kernel looks at one bit less than it is told.
  const unsigned long bits = call.nodes.size() * 8 * sizeof(unsigned long) + 1;
  TRY(base::sys::wrap("linux.memoryPolicy", ::syscall(SYS_set_mempolicy, call.mode,
                                                     call.nodes.empty() ? nullptr : call.nodes.data(),
                                                     call.nodes.empty() ? 0 : bits)));
  return {};
}

std::vector<std::string> known_memory_modes() { return names_of(modes); }
std::vector<std::string> known_memory_flags() { return names_of(flags); }

}  // namespace runtime
