#include "compose/load/dotenv.h"

#include <algorithm>

namespace compose::load {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r'; }
bool is_any_space(char c) { return is_space(c) || c == '\n'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || std::string_view("_.-[]").find(c) != std::string_view::npos ||
         (static_cast<unsigned char>(c) & 0x80U) != 0;
}

std::string_view trim_right(std::string_view text) {
  while (!text.empty() && is_any_space(text.back())) text.remove_suffix(1);
  return text;
}

/// \a \b \c \f \n \r \t \v \$ \" \\ and \0ooo; others stay as written.
std::string expand_escapes(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '\\' || i + 1 == text.size()) {
      out += text[i];
      continue;
    }
    const char c = text[++i];
    switch (c) {
      case 'a': out += '\a'; break;
      case 'b': out += '\b'; break;
      case 'f': out += '\f'; break;
      case 'n': out += '\n'; break;
      case 'r': out += '\r'; break;
      case 't': out += '\t'; break;
      case 'v': out += '\v'; break;
      case '"': out += '"'; break;
      case '\\': out += '\\'; break;
      case '$': out += "$$"; break;  // the expansion that follows reads this as one dollar
      case '0': {
        std::size_t end = i + 1;
        int value = 0;
        while (end < text.size() && end < i + 4 && is_digit(text[end])) ++end;
        const bool octal = end == i + 4 && std::all_of(text.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                                       text.begin() + static_cast<std::ptrdiff_t>(end),
                                                       [](char d) { return d <= '7'; }) && text[i + 1] <= '3';
        if (!octal) {
          out.append("\\").append(text.substr(i, end - i));
        } else {
          for (std::size_t k = i + 1; k < end; ++k) value = value * 8 + (text[k] - '0');
          // Go's quoting writes \nnn as one byte.
          out += static_cast<char>(value);
        }
        i = end - 1;
        break;
      }
      default: out.append("\\").append(1, c);
    }
  }
  return out;
}

class Parser {
 public:
  Parser(std::string_view text, const Lookup& lookup, const model::StringMap& earlier)
      : rest_(text), lookup_(lookup), known_(earlier) {}

  DotEnv run() {
    while (result_.error.empty() && next_statement()) statement();
    return std::move(result_);
  }

 private:
  void fail(std::string message) {
    result_.error = std::move(message);
    result_.error_line = line_;
  }

  bool next_statement() {
    for (;;) {
      while (!rest_.empty() && is_any_space(rest_.front())) {
        if (rest_.front() == '\n') ++line_;
        rest_.remove_prefix(1);
      }
      if (rest_.empty()) return false;
      if (rest_.front() != '#') return true;
      const auto end = rest_.find('\n');
      if (end == std::string_view::npos) return false;
      rest_.remove_prefix(end);
    }
  }

  void statement() {
    statement_line_ = line_;
    if (rest_.starts_with("export") && rest_.size() > 6 && is_any_space(rest_[6])) {
      rest_.remove_prefix(6);
      while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
    }
    std::size_t i = 0;
    while (i < rest_.size() && rest_[i] != '=' && rest_[i] != ':' && rest_[i] != '\n') {
      if (!is_space(rest_[i]) && !name_char(rest_[i]))
        return fail("unexpected character '" + std::string(1, rest_[i]) + "' in a variable name");
      ++i;
    }
    const bool inherited = i < rest_.size() && rest_[i] == '\n';
    // A name at the very end of the file, without a line end, is the value of a variable without a name: Docker Compose
    // looks for the separator only.
    const bool at_end = i == rest_.size();
    const std::string key(at_end ? std::string_view() : trim_right(rest_.substr(0, i)));
    if (key.find(' ') != std::string::npos) return fail("a variable name cannot contain a space");
    if (!at_end) rest_.remove_prefix(i + 1);
    while (!rest_.empty() && is_space(rest_.front())) rest_.remove_prefix(1);
    if (inherited) {
      ++line_;
      if (const auto value = lookup_(key)) set(key, *value);
      return;
    }
    value_of(key);
  }

  void value_of(const std::string& key) {
    if (!rest_.empty() && (rest_.front() == '\'' || rest_.front() == '"')) return quoted(key);
    const auto end = std::min(rest_.find('\n'), rest_.size());
    auto value = rest_.substr(0, end);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    if (const auto comment = value.find(" #"); comment != std::string_view::npos) value = value.substr(0, comment);
    expand(key, trim_right(value));
    ++line_;
  }

  void quoted(const std::string& key) {
    const char quote = rest_.front();
    const std::uint32_t first_line = line_;
    std::string value;
    for (std::size_t i = 1; i < rest_.size(); ++i) {
      const char c = rest_[i];
      if (c == '\n') ++line_;
      if (c == '\\' && i + 1 < rest_.size()) {
        const char next = rest_[++i];
        if (next == '\n') ++line_;
        if (next != quote) value += '\\';
        value += next;
        continue;
      }
      if (c != quote) {
        value += c;
        continue;
      }
      rest_.remove_prefix(i + 1);
      if (quote == '"') expand(key, expand_escapes(value));
      else set(key, std::move(value));
      return;
    }
    line_ = first_line;
    fail("unterminated quoted value");
  }

  void expand(const std::string& key, std::string_view text) {
    const Lookup here = [&](std::string_view name) -> std::optional<std::string> {
      if (auto value = lookup_(name)) return value;
      const auto found = known_.find(std::string(name));
      return found == known_.end() ? std::nullopt : std::optional(found->second);
    };
    Substituted value = substitute(text, here);
    result_.unset.insert(result_.unset.end(), value.unset.begin(), value.unset.end());
    if (value.invalid) return fail("invalid variable in '" + value.error + "'");
    if (!value.error.empty()) return fail(value.error);
    set(key, std::move(value.text));
  }

  void set(const std::string& key, std::string value) {
    known_[key] = value;
    result_.lines.push_back(statement_line_);
    result_.variables.emplace_back(key, std::move(value));
  }

  std::string_view rest_;
  const Lookup& lookup_;
  DotEnv result_;
  model::StringMap known_;
  std::uint32_t line_ = 1, statement_line_ = 1;
};

std::string plain_newlines(std::string_view text) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] != '\r' || i + 1 == text.size() || text[i + 1] != '\n') out += text[i];
  return out;
}

}  // namespace

DotEnv parse_dotenv(std::string_view text, const Lookup& lookup, const model::StringMap& earlier) {
  const std::string plain = plain_newlines(text);
  return Parser(plain, lookup, earlier).run();
}

DotEnv parse_raw_env(std::string_view text, const Lookup& lookup) {
  DotEnv result;
  const std::string plain = plain_newlines(text);
  std::uint32_t line_number = 0;
  for (std::size_t i = 0; i < plain.size();) {
    const auto end = std::min(plain.find('\n', i), plain.size());
    std::string_view line = std::string_view(plain).substr(i, end - i);
    i = end + 1;
    ++line_number;
    while (!line.empty() && is_space(line.front())) line.remove_prefix(1);
    if (line.empty() || line.front() == '#') continue;
    const auto equals = line.find('=');
    const std::string key(line.substr(0, equals));
    if (key.empty() || key.find_first_of(" \t") != std::string::npos) {
      result.error = key.empty() ? "a line has no variable name" : "a variable name cannot contain a space";
      result.error_line = line_number;
      return result;
    }
    if (equals != std::string_view::npos) result.variables.emplace_back(key, line.substr(equals + 1));
    else if (const auto value = lookup(key)) result.variables.emplace_back(key, *value);
    result.lines.resize(result.variables.size(), line_number);
  }
  return result;
}

}  // namespace compose::load
