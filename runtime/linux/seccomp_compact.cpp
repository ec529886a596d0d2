#include "runtime/linux/seccomp_compact.h"

#include <linux/seccomp.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>

namespace runtime {
namespace {

using Program = std::vector<sock_filter>;

constexpr std::uint16_t op_load = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t op_return = BPF_RET | BPF_K;
constexpr std::uint16_t op_jump = BPF_JMP | BPF_JA;
constexpr std::uint16_t op_equal = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t op_greater = BPF_JMP | BPF_JGT | BPF_K;
constexpr std::uint16_t op_at_least = BPF_JMP | BPF_JGE | BPF_K;
constexpr std::uint16_t op_bits = BPF_JMP | BPF_JSET | BPF_K;
constexpr std::uint16_t op_and = BPF_ALU | BPF_AND | BPF_K;

constexpr std::uint32_t number_offset = offsetof(seccomp_data, nr);
constexpr std::uint32_t arch_offset = offsetof(seccomp_data, arch);

bool is_branch(std::uint16_t code) {
  return code == op_equal || code == op_greater || code == op_at_least || code == op_bits;
}

/// What the accumulator may hold before an instruction.
enum Holds : unsigned { number = 1, arch = 2, argument = 4, nothing = 8, masked = 16 };  // masked: a number less one bit (x32's)

struct Constants {
  std::set<std::uint32_t> numbers{0};  ///< where an interval of numbers begins
  std::set<std::uint32_t> architectures;
  std::uint32_t cleared = 0;           ///< the bit that masked numbers lack

  void compared(std::uint16_t code, std::uint32_t with, unsigned how) {
    const auto begins = [&](std::uint32_t at) {
      numbers.insert(at);
      if (how == masked) numbers.insert(at ^ cleared);  // both numbers that differ in it alone are compared as one
    };
    if (code != op_greater) begins(with);
    if (code != op_at_least && with != UINT32_MAX) begins(with + 1);
  }
  /// False for a mask that takes more than one high bit. Between multiples of the bit masked numbers grow with the number.
  bool mask(std::uint32_t kept) {
    const std::uint32_t bit = ~kept;
    if (bit < 1U << 24 || (bit & (bit - 1)) != 0 || (cleared != 0 && cleared != bit)) return false;
    cleared = bit;
    for (std::uint64_t at = 0; at <= UINT32_MAX; at += bit) numbers.insert(static_cast<std::uint32_t>(at));
    return true;
  }
};

/// The constants that numbers and architectures are compared with; nothing for a program this does not understand.
std::optional<Constants> constants_of(const Program& program) {
  Constants out;
  std::vector<unsigned> holds(program.size(), 0);
  if (program.empty()) return std::nullopt;
  holds[0] = nothing;
  const auto flow = [&](std::size_t to, unsigned what) {
    if (to >= holds.size()) return false;
    holds[to] |= what;
    return true;
  };
  // Jumps go forward only, so one pass sees every way to an instruction before the instruction.
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const auto& i = program[pc];
    const unsigned now = holds[pc];
    if (!now) continue;  // cannot be reached
    bool good = true;
    if (i.code == op_load) {
      good = flow(pc + 1, i.k == number_offset ? number : i.k == arch_offset ? arch : argument);
    } else if (i.code == op_and) {
      good = now == argument ? flow(pc + 1, argument) : now == number && out.mask(i.k) && flow(pc + 1, masked);
    } else if (i.code == op_jump) {
      good = flow(pc + 1 + i.k, now);
    } else if (is_branch(i.code)) {
      good = flow(pc + 1 + i.jt, now) && flow(pc + 1 + i.jf, now) && (now == number || now == masked || now == arch || now == argument) &&
             (now == argument || i.code != op_bits) && (now != arch || i.code == op_equal);
      if (now == arch) out.architectures.insert(i.k);
      if (now == number || now == masked) out.compared(i.code, i.k, now);
    } else if (i.code != op_return) {
      return std::nullopt;
    }
    if (!good) return std::nullopt;
  }
  return out;
}

/// Where a call ends up before its arguments matter: at a return, or at the load of an argument.
struct Leaf {
  bool returns = false;
  std::uint32_t value = 0;  ///< what is returned, or the instruction that loads
  bool operator==(const Leaf&) const = default;
};

Leaf follow(const Program& program, std::uint32_t architecture, std::uint32_t nr) {
  std::uint32_t held = 0;
  for (std::size_t pc = 0;;) {
    const auto& i = program[pc];
    if (i.code == op_return) return {true, i.k};
    if (i.code == op_load && i.k != number_offset && i.k != arch_offset) return {false, static_cast<std::uint32_t>(pc)};
    if (i.code == op_load) {
      held = i.k == number_offset ? nr : architecture;
      ++pc;
    } else if (i.code == op_and) {
      held &= i.k;
      ++pc;
    } else if (i.code == op_jump) {
      pc += 1 + i.k;
    } else {
      const bool yes = i.code == op_equal ? held == i.k : i.code == op_greater ? held > i.k : held >= i.k;
      pc += 1U + (yes ? i.jt : i.jf);
    }
  }
}

struct Range {
  std::uint32_t begin;
  Leaf leaf;
};

std::vector<Range> ranges_of(const Program& program, const Constants& constants, std::uint32_t architecture) {
  std::vector<Range> out;
  for (const auto begin : constants.numbers) {
    const auto leaf = follow(program, architecture, begin);
    if (out.empty() || !(out.back().leaf == leaf)) out.push_back({begin, leaf});
  }
  return out;
}

class Emitter {
 public:
  explicit Emitter(const Program& source) : source_(source) {}

  void add(std::uint16_t code, std::uint32_t k, std::uint8_t yes = 0, std::uint8_t no = 0) { out_.push_back({code, yes, no, k}); }
  /// A jump whose goal is set by land().
  std::size_t leap() {
    add(op_jump, 0);
    return out_.size() - 1;
  }
  void land(std::size_t from) { out_[from].k = static_cast<std::uint32_t>(out_.size() - from - 1); }

  /// A binary search: the left half first, the right half behind it.
  void search(const std::vector<Range>& ranges, std::size_t first, std::size_t last) {
    if (last - first == 1) {
      const Leaf& leaf = ranges[first].leaf;
      if (leaf.returns) return add(op_return, leaf.value);
      tails_[leaf.value].push_back(leap());
      return;
    }
    const std::size_t middle = first + (last - first) / 2;
    const std::size_t branch = out_.size();
    add(op_at_least, ranges[middle].begin, 0, 1);
    const std::size_t right = leap();
    search(ranges, first, middle);
    const std::size_t distance = out_.size() - branch - 2;
    if (distance > UINT8_MAX) return land(right), search(ranges, middle, last);
    // Near enough for the branch itself: take the leap out again.
    out_.erase(out_.begin() + static_cast<std::ptrdiff_t>(right));
    for (auto& [ignored, leaps] : tails_)
      for (auto& from : leaps)
        if (from > right) --from;
    out_[branch].jt = static_cast<std::uint8_t>(distance);
    out_[branch].jf = 0;
    search(ranges, middle, last);
  }

  /// The instructions that look at arguments, as they were, less what cannot be reached.
  Program finish() {
    std::vector<bool> wanted(source_.size(), false);
    for (const auto& [pc, ignored] : tails_) wanted[pc] = true;
    for (std::size_t pc = 0; pc < source_.size(); ++pc) {
      if (!wanted[pc] || source_[pc].code == op_return) continue;
      if (source_[pc].code == op_jump) {
        wanted[pc + 1 + source_[pc].k] = true;
      } else if (is_branch(source_[pc].code)) {
        wanted[pc + 1U + source_[pc].jt] = wanted[pc + 1U + source_[pc].jf] = true;
      } else {
        wanted[pc + 1] = true;
      }
    }
    std::vector<std::size_t> place(source_.size(), 0);
    std::size_t next = out_.size();
    for (std::size_t pc = 0; pc < source_.size(); ++pc)
      if (wanted[pc]) place[pc] = next++;
    for (const auto& [pc, leaps] : tails_)
      for (const auto from : leaps) out_[from].k = static_cast<std::uint32_t>(place[pc] - from - 1);
    for (std::size_t pc = 0; pc < source_.size(); ++pc) {
      if (!wanted[pc]) continue;
      auto copy = source_[pc];
      // Distances only shrink, so they still fit. What falls through falls to the next that is wanted.
      if (copy.code == op_jump) copy.k = static_cast<std::uint32_t>(place[pc + 1 + copy.k] - place[pc] - 1);
      if (is_branch(copy.code)) {
        copy.jt = static_cast<std::uint8_t>(place[pc + 1U + source_[pc].jt] - place[pc] - 1);
        copy.jf = static_cast<std::uint8_t>(place[pc + 1U + source_[pc].jf] - place[pc] - 1);
      }
      out_.push_back(copy);
    }
    return std::move(out_);
  }

 private:
  const Program& source_;
  Program out_;
  std::map<std::uint32_t, std::vector<std::size_t>> tails_;  ///< by instruction of the source: the leaps to it
};

}  // namespace

std::vector<sock_filter> compact_seccomp(const std::vector<sock_filter>& program) {
  const auto constants = constants_of(program);
  if (!constants) return program;
  std::uint32_t unknown = 1;  // an architecture that is compared with nowhere
  while (constants->architectures.contains(unknown)) ++unknown;

  Emitter emitter(program);
  emitter.add(op_load, arch_offset);
  std::vector<std::pair<std::uint32_t, std::size_t>> sections;
  for (const auto architecture : constants->architectures) {
    emitter.add(op_equal, architecture, 0, 1);
    sections.emplace_back(architecture, emitter.leap());
  }
  const auto section = [&](std::uint32_t architecture) {
    const auto ranges = ranges_of(program, *constants, architecture);
    if (ranges.size() > 1) emitter.add(op_load, number_offset);
    emitter.search(ranges, 0, ranges.size());
  };
  section(unknown);
  for (const auto& [architecture, leap] : sections) {
    emitter.land(leap);
    section(architecture);
  }
  auto out = emitter.finish();
  return out.size() < program.size() ? out : program;
}

}  // namespace runtime
