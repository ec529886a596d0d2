#pragma once
// Command lines as Docker's (spf13/pflag) reads them: --name value, --name=value, -n value, -nvalue, -abc, flags between arguments.
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace compose::cli {

enum class FlagKind : std::uint8_t { boolean, text, number, list };

struct Flag {
  std::string_view name;
  char letter = 0;
  FlagKind kind = FlagKind::boolean;
  std::string_view help;
  std::string_view value;      ///< placeholder in the help: "string"; "" = by kind
  std::string_view initial;    ///< default shown in the help
  /// Why it cannot be honoured: giving it is an error. "" = it is.
  std::string_view refused;
  bool hidden = false;
};

/// The flags given and the arguments left.
class Parsed {
 public:
  [[nodiscard]] bool given(std::string_view name) const { return values_.contains(name); }
  [[nodiscard]] bool on(std::string_view name, bool otherwise = false) const;
  [[nodiscard]] std::string text(std::string_view name, std::string_view otherwise = "") const;
  [[nodiscard]] std::optional<long> number(std::string_view name) const;
  [[nodiscard]] std::vector<std::string> list(std::string_view name) const;

  std::vector<std::string> arguments;
  bool help = false;

 private:
  friend base::Result<Parsed> parse(std::span<const Flag> flags, std::span<const std::string> words, bool interspersed,
                                    std::size_t* used);
  std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

/// `interspersed` false: flags end at the first argument (exec, run, the root). `used`: how many words were read when not interspersed.
/// Errors: invalid, in pflag's words ("unknown flag: --x"), or the flag's `refused` sentence.
base::Result<Parsed> parse(std::span<const Flag> flags, std::span<const std::string> words, bool interspersed,
                           std::size_t* used = nullptr);

}  // namespace compose::cli
