#include "runtime/oci/options.h"

#include <charconv>

namespace runtime::oci {

using base::Result;

bool Arguments::has(std::string_view name) const {
  bool on = false;  // the last one wins, as with values
  for (const auto& [key, text] : given_)
    if (key == name) on = text != "false";
  return on;
}

std::string Arguments::value(std::string_view name) const {
  std::string found;
  for (const auto& [key, text] : given_)
    if (key == name) found = text;
  return found;
}

std::vector<std::string> Arguments::values(std::string_view name) const {
  std::vector<std::string> found;
  for (const auto& [key, text] : given_)
    if (key == name) found.push_back(text);
  return found;
}

Result<std::optional<std::int64_t>> Arguments::number(std::string_view name) const {
  const std::string text = value(name);
  if (text.empty()) return std::optional<std::int64_t>();
  std::int64_t out = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size())
    return base::make_error(base::ErrorKind::invalid, "--" + std::string(name) + ": '" + text + "' is not a number");
  return std::optional(out);
}

namespace {

base::Error unknown(const std::string& word) {
  return base::make_error(base::ErrorKind::invalid, "unknown flag '" + word + "'");
}

/// Reads words one after the other; a flag may take the next one.
class Parser {
 public:
  Parser(std::span<const std::string> words, std::span<const Flag> flags,
         std::vector<std::pair<std::string_view, std::string>>& given)
      : words_(words), flags_(flags), given_(given) {}

  Result<> long_flag(const std::string& word) {
    const std::size_t equals = word.find('=');
    const std::string_view name = std::string_view(word).substr(2, equals == std::string::npos ? equals : equals - 2);
    const auto flag = std::ranges::find(flags_, name, &Flag::name);
    if (flag == flags_.end()) return unknown(word);
    if (equals != std::string::npos) {
      given_.emplace_back(flag->name, word.substr(equals + 1));
      return {};
    }
    if (flag->value.empty()) {
      given_.emplace_back(flag->name, "true");
      return {};
    }
    return take_next(*flag);
  }

  Result<> short_flags(const std::string& word) {
    for (std::size_t at = 1; at < word.size(); ++at) {
      const auto flag = std::ranges::find(flags_, word[at], &Flag::letter);
      if (flag == flags_.end()) {
        // Go's flag packages, and so runc's users, also write "-name" for "--name".
        return at == 1 ? long_flag("-" + word) : unknown(word);
      }
      if (flag->value.empty()) {
        given_.emplace_back(flag->name, "true");
        continue;
      }
      std::string rest = word.substr(at + 1);
      if (rest.empty()) return take_next(*flag);
      if (rest.front() == '=') rest.erase(0, 1);
      given_.emplace_back(flag->name, std::move(rest));
      return {};
    }
    return {};
  }

  std::size_t next = 0;

 private:
  Result<> take_next(const Flag& flag) {
    if (next >= words_.size())
      return base::make_error(base::ErrorKind::invalid, "flag --" + std::string(flag.name) + " needs a value");
    given_.emplace_back(flag.name, words_[next++]);
    return {};
  }
  std::span<const std::string> words_;
  std::span<const Flag> flags_;
  std::vector<std::pair<std::string_view, std::string>>& given_;
};

}  // namespace

Result<Arguments> parse_arguments(std::span<const std::string> words, std::span<const Flag> flags, bool stop_at_positional) {
  Arguments out;
  Parser parser(words, flags, out.given_);
  while (parser.next < words.size()) {
    const std::string& word = words[parser.next++];
    if (word == "--") {
      out.positional.insert(out.positional.end(), words.begin() + static_cast<std::ptrdiff_t>(parser.next), words.end());
      break;
    }
    if (word.size() > 1 && word[0] == '-') {
      TRY(word[1] == '-' ? parser.long_flag(word) : parser.short_flags(word));
      continue;
    }
    if (stop_at_positional) {
      out.positional.assign(words.begin() + static_cast<std::ptrdiff_t>(parser.next) - 1, words.end());
      break;
    }
    out.positional.push_back(word);
  }
  return out;
}

std::string help_of(std::span<const Flag> flags) {
  std::string out;
  for (const Flag& flag : flags) {
    std::string line = flag.letter ? std::string("  -") + flag.letter + ", --" : std::string("      --");
    line.append(flag.name);
    if (!flag.value.empty()) line.append(" ").append(flag.value);
    line.resize(std::max<std::size_t>(line.size() + 2, 32), ' ');
    out.append(line).append(flag.help).append("\n");
  }
  return out;
}

}  // namespace runtime::oci
