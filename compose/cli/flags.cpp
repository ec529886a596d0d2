#include "compose/cli/flags.h"

#include <algorithm>
#include <charconv>

#include "compose/load/units.h"

namespace compose::cli {
namespace {

using base::ErrorKind;
using base::make_error;
using base::Result;

std::optional<long> integer(std::string_view text) {
  long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

const Flag* by_name(std::span<const Flag> flags, std::string_view name) {
  const auto found = std::find_if(flags.begin(), flags.end(), [&](const Flag& flag) { return flag.name == name; });
  return found == flags.end() ? nullptr : &*found;
}

const Flag* by_letter(std::span<const Flag> flags, char letter) {
  const auto found = std::find_if(flags.begin(), flags.end(), [&](const Flag& flag) { return letter != 0 && flag.letter == letter; });
  return found == flags.end() ? nullptr : &*found;
}

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

std::string display(const Flag& flag) {
  return flag.letter != 0 ? "-" + std::string(1, flag.letter) + ", --" + std::string(flag.name) : "--" + std::string(flag.name);
}

Result<> check(const Flag& flag, std::string_view value) {
  const auto bad = [&](std::string_view why) {
    return make_error(ErrorKind::invalid, "invalid argument " + in_quotes(value) + " for " + in_quotes(display(flag)) + " flag: " + std::string(why));
  };
  if (flag.kind == FlagKind::boolean && !load::parse_bool(value)) return bad("strconv.ParseBool: parsing " + in_quotes(value) + ": invalid syntax");
  if (flag.kind == FlagKind::number && !integer(value)) return bad("strconv.ParseInt: parsing " + in_quotes(value) + ": invalid syntax");
  // A switch that is off asks for nothing, so there is nothing to refuse.
  if (!flag.refused.empty() && !(flag.kind == FlagKind::boolean && !*load::parse_bool(value))) {
    return make_error(ErrorKind::unsupported, "--" + std::string(flag.name) + " " + std::string(flag.refused));
  }
  return {};
}

}  // namespace

bool Parsed::on(std::string_view name, bool otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? otherwise : load::parse_bool(found->second.back()).value_or(otherwise);
}

std::string Parsed::text(std::string_view name, std::string_view otherwise) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string(otherwise) : found->second.back();
}

std::optional<long> Parsed::number(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : integer(found->second.back());
}

std::vector<std::string> Parsed::list(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::vector<std::string>{} : found->second;
}

Result<Parsed> parse(std::span<const Flag> flags, std::span<const std::string> words, bool interspersed, std::size_t* used) {
  Parsed parsed;
  std::size_t i = 0;
  const auto take = [&](const Flag& flag, std::string_view value) -> Result<> {
    TRY(check(flag, value));
    parsed.values_[std::string(flag.name)].emplace_back(value);
    return {};
  };
  const auto long_flag = [&](std::string_view word) -> Result<> {
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    if (name == "help" && by_name(flags, name) == nullptr) {
      parsed.help = true;
      return {};
    }
    const Flag* flag = by_name(flags, name);
    if (flag == nullptr) return make_error(ErrorKind::invalid, "unknown flag: --" + std::string(name));
    if (equals != std::string_view::npos) return take(*flag, word.substr(equals + 1));
    if (flag->kind == FlagKind::boolean) return take(*flag, "true");
    if (i + 1 >= words.size()) return make_error(ErrorKind::invalid, "flag needs an argument: --" + std::string(name));
    return take(*flag, words[++i]);
  };
  const auto short_flags = [&](std::string_view group) -> Result<> {
    for (std::size_t at = 1; at < group.size(); ++at) {
      const char letter = group[at];
      const Flag* flag = by_letter(flags, letter);
      if (flag == nullptr && letter == 'h') {
        parsed.help = true;
        return {};
      }
      if (flag == nullptr) {
        return make_error(ErrorKind::invalid, "unknown shorthand flag: '" + std::string(1, letter) + "' in " + std::string(group));
      }
      if (at + 1 < group.size() && group[at + 1] == '=') return take(*flag, group.substr(at + 2));
      if (flag->kind == FlagKind::boolean) {
        TRY(take(*flag, "true"));
        continue;
      }
      if (at + 1 < group.size()) return take(*flag, group.substr(at + 1));
      if (i + 1 >= words.size()) {
        return make_error(ErrorKind::invalid, "flag needs an argument: '" + std::string(1, letter) + "' in " + std::string(group));
      }
      return take(*flag, words[++i]);
    }
    return {};
  };
  for (; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--") {
      parsed.arguments.insert(parsed.arguments.end(), words.begin() + static_cast<std::ptrdiff_t>(i) + 1, words.end());
      i = words.size();
      break;
    }
    if (word.starts_with("--")) {
      TRY(long_flag(std::string_view(word).substr(2)));
    } else if (word.size() > 1 && word[0] == '-') {
      TRY(short_flags(word));
    } else if (interspersed) {
      parsed.arguments.push_back(word);
    } else {
      parsed.arguments.insert(parsed.arguments.end(), words.begin() + static_cast<std::ptrdiff_t>(i), words.end());
      break;
    }
  }
  if (used != nullptr) *used = i;
  return parsed;
}

}  // namespace compose::cli
