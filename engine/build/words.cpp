#include "engine/build/words.h"

namespace engine::build {
namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

base::Error syntax(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// A word so far. Quoted and escaped characters never split; blanks from variables do.
class Splitter {
 public:
  void add(char c) {
    if (is_blank(c)) return end_word();
    word_ += c;
    open_ = true;
  }
  void add_raw(std::string_view text) {
    word_ += text;
    open_ = true;
  }
  void end_word() {
    if (open_ && !word_.empty()) words_.push_back(word_);
    word_.clear();
    open_ = false;
  }
  std::vector<std::string> take() {
    if (open_) words_.push_back(word_);  // a quoted empty word at the end counts
    return std::move(words_);
  }

 private:
  std::vector<std::string> words_;
  std::string word_;
  bool open_ = false;
};

/// A pattern of ${x#…}: `*`, `?` and escaped characters; there are no bracket expressions in BuildKit's.
bool pattern_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0, t = 0, star = std::string_view::npos, resume = 0;
  while (true) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = ++p;
      resume = t;
      continue;
    }
    const bool escaped = p + 1 < pattern.size() && pattern[p] == '\\';
    const bool one = t < text.size() && p < pattern.size() &&
                     (escaped ? pattern[p + 1] == text[t] : pattern[p] == '?' || pattern[p] == text[t]);
    if (one) {
      p += escaped ? 2 : 1;
      ++t;
      continue;
    }
    if (p == pattern.size() && t == text.size()) return true;
    if (star == std::string_view::npos || resume == text.size()) return false;
    p = star;  // the last star takes one character more
    t = ++resume;
  }
}

/// Removes the part of `value` that the shell pattern matches at its start or end.
std::string strip_pattern(const std::string& value, const std::string& pattern, bool at_end, bool longest) {
  const std::size_t size = value.size();
  for (std::size_t step = 0; step <= size; ++step) {
    const std::size_t length = longest ? size - step : step;
    const std::string_view all = value, part = at_end ? all.substr(size - length) : all.substr(0, length);
    if (pattern_match(pattern, part)) return at_end ? value.substr(0, size - length) : value.substr(length);
  }
  return value;
}

std::string replace_pattern(const std::string& value, const std::string& pattern, const std::string& with, bool all) {
  std::string result;
  const std::string_view text = value;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t matched = 0;
    for (std::size_t length = text.size() - at; length > 0 && matched == 0; --length)
      if (pattern_match(pattern, text.substr(at, length))) matched = length;
    if (matched == 0) {
      result += text[at++];
      continue;
    }
    result += with;
    at += matched;
    if (!all) break;
  }
  if (text.empty() && pattern_match(pattern, text)) result = with;
  return result + value.substr(at);
}

/// "\\*", "\\?" and "\\\\" are themselves; an escape before '/' or '}' was for the lexer alone.
Result<std::string> clean_pattern(const std::string& pattern) {
  std::string result;
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\') {
      result += pattern[i];
      continue;
    }
    const char next = i + 1 < pattern.size() ? pattern[i + 1] : '\0';
    if (next == '/' || next == '}') continue;
    if (next != '*' && next != '?' && next != '\\')
      return syntax("invalid pattern (" + pattern + ") in substitution: invalid escape '\\" + std::string(next == 0 ? 0 : 1, next) + "'");
    result += pattern[i];
    result += pattern[++i];
  }
  return result;
}

class Lexer {
 public:
  Lexer(std::string_view text, const Lookup& lookup, const ExpandOptions& options)
      : text_(text), lookup_(lookup), options_(options) {}

  /// Up to `stop` (consumed) or the end.
  Result<std::string> run(char stop, bool keep_escapes, Splitter* splitter) {
    std::string result;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (stop != 0 && c == stop) {
        ++at_;
        return result;
      }
      if (c == '<' && text_.substr(at_).starts_with("<<")) {
        // The word of a heredoc may stand apart: "<< EOF" is one word.
        std::size_t end = at_ + 2;
        while (end < text_.size() && is_blank(text_[end])) ++end;
        const std::string_view part = text_.substr(at_, end - at_);
        at_ = end;
        result += part;
        if (splitter != nullptr) splitter->add_raw(part);
        continue;
      }
      if (c == '$' || (!options_.ignore_quotes && (c == '\'' || c == '"'))) {
        ASSIGN_OR_RETURN(const std::string part, c == '$' ? dollar() : c == '"' ? double_quoted() : single_quoted());
        result += part;
        if (splitter == nullptr) continue;
        if (c == '$') {
          for (const char p : part) splitter->add(p);
        } else {
          splitter->add_raw(part);
        }
        continue;
      }
      ++at_;
      if (c != options_.escape) {
        result += c;
        if (splitter != nullptr) splitter->add(c);
        continue;
      }
      std::string escaped;
      if (keep_escapes) escaped += c;
      if (at_ < text_.size()) escaped += text_[at_++];
      result += escaped;
      if (splitter != nullptr && !escaped.empty()) splitter->add_raw(escaped);
    }
    if (stop != 0) return syntax(std::string("unexpected end of statement while looking for matching ") + stop);
    return result;
  }

 private:
  [[nodiscard]] char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  Result<std::string> single_quoted() {
    const std::size_t end = text_.find('\'', at_ + 1);
    if (end == std::string_view::npos) return syntax("unexpected end of statement while looking for matching single-quote");
    std::string inner(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return options_.keep_quotes ? "'" + inner + "'" : inner;
  }

  Result<std::string> double_quoted() {
    std::string result = options_.keep_quotes ? "\"" : "";
    ++at_;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') {
        ++at_;
        if (options_.keep_quotes) result += '"';
        return result;
      }
      if (c == '$') {
        ASSIGN_OR_RETURN(const std::string value, dollar());
        result += value;
        continue;
      }
      ++at_;
      if (c != options_.escape) {
        result += c;
        continue;
      }
      const char next = peek();
      if (next == '\0') return syntax("unexpected end of statement while looking for matching double-quote");
      // Only quote, dollar and the escape itself lose their escape here.
      if (options_.keep_escapes || (next != '"' && next != '$' && next != options_.escape)) result += c;
      result += next;
      ++at_;
    }
    return syntax("unexpected end of statement while looking for matching double-quote");
  }

  std::string name() {
    const std::size_t start = at_;
    if (is_name_start(peek())) {
      while (is_name_start(peek()) || is_digit(peek())) ++at_;
    } else if (is_digit(peek())) {
      while (is_digit(peek())) ++at_;
    } else if (peek() != '\0' && std::string_view("@*#?-$!").find(peek()) != std::string_view::npos) {
      ++at_;
    }
    return std::string(text_.substr(start, at_ - start));
  }

  Result<std::string> dollar() {
    const std::size_t start = at_++;
    if (peek() != '{') {
      const std::string variable = name();
      if (variable.empty()) return std::string("$");
      const auto value = lookup_(variable);
      if (!value && options_.keep_unset) return std::string(text_.substr(start, at_ - start));
      return value.value_or("");
    }
    ++at_;
    if (peek() == '\0') return syntax("syntax error: missing '}'");
    if (peek() == '{' || peek() == '}' || peek() == ':') return syntax("syntax error: bad substitution");
    const std::string variable = name();
    const auto value = lookup_(variable);
    const char modifier = peek();
    if (modifier == '\0') return syntax("syntax error: missing '}'");
    ++at_;
    if (modifier == '}') {
      if (!value && options_.keep_unset) return std::string(text_.substr(start, at_ - start));
      return value.value_or("");
    }
    return modified(start, variable, value, modifier);
  }

  /// Up to `stop`; a text that ends before it lacks just that.
  Result<std::string> closed(char stop, bool keep_escapes) {
    auto word = run(stop, keep_escapes, nullptr);
    if (!word && at_ == text_.size()) return syntax(stop == '/' ? "syntax error: missing '/' in ${}" : "syntax error: missing '}'");
    return word;
  }

  Result<std::string> modified(std::size_t start, const std::string& variable, const std::optional<std::string>& value,
                               char modifier) {
    bool empty_is_unset = false;
    std::string shown(1, modifier);
    if (modifier == ':') {
      empty_is_unset = true;
      modifier = peek();
      if (modifier == '\0') return syntax("syntax error: missing '}'");
      shown += modifier;
      ++at_;
    }
    const bool is_set = value && !(empty_is_unset && value->empty());
    if (modifier == '-' || modifier == '+' || modifier == '?') {
      ASSIGN_OR_RETURN(const std::string word, closed('}', false));
      if (!value && options_.keep_unset) return "${" + variable + shown + word + "}";
      if (modifier == '+') return is_set ? word : std::string();
      if (is_set) return *value;
      if (modifier == '-') return word;
      return syntax(variable + ": " + (!word.empty() ? word : value ? "is not allowed to be empty" : "is not allowed to be unset"));
    }
    if (empty_is_unset) return syntax("unsupported modifier (" + shown + ") in substitution");
    if (modifier == '#' || modifier == '%') return stripped(start, value, modifier);
    if (modifier == '/') return replaced(start, value);
    return syntax("unsupported modifier (" + shown + ") in substitution");
  }

  Result<std::string> stripped(std::size_t start, const std::optional<std::string>& value, char modifier) {
    const bool longest = peek() == modifier;
    if (longest) ++at_;
    ASSIGN_OR_RETURN(std::string pattern, closed('}', true));
    if (!value && options_.keep_unset) return std::string(text_.substr(start, at_ - start));
    ASSIGN_OR_RETURN(pattern, clean_pattern(pattern));
    return strip_pattern(value.value_or(""), pattern, modifier == '%', longest);
  }

  Result<std::string> replaced(std::size_t start, const std::optional<std::string>& value) {
    const bool all = peek() == '/';
    if (all) ++at_;
    ASSIGN_OR_RETURN(std::string pattern, closed('/', true));
    ASSIGN_OR_RETURN(const std::string with, closed('}', true));
    if (!value && options_.keep_unset) return std::string(text_.substr(start, at_ - start));
    ASSIGN_OR_RETURN(pattern, clean_pattern(pattern));
    return replace_pattern(value.value_or(""), pattern, with, all);
  }

  std::string_view text_;
  const Lookup& lookup_;
  const ExpandOptions& options_;
  std::size_t at_ = 0;
};

}  // namespace

std::string go_quoted(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') result += '\\';
    if (c == '\n') result += "\\n";
    else if (c == '\t') result += "\\t";
    else if (c == '\r') result += "\\r";
    else result += c;
  }
  return result + "\"";
}

Result<std::string> expand_word(std::string_view text, const Lookup& lookup, const ExpandOptions& options) {
  Lexer lexer(text, lookup, options);
  return lexer.run(0, options.keep_escapes, nullptr).with("failed to process " + go_quoted(text));
}

Result<std::vector<std::string>> expand_words(std::string_view text, const Lookup& lookup, const ExpandOptions& options) {
  Lexer lexer(text, lookup, options);
  Splitter splitter;
  TRY(lexer.run(0, options.keep_escapes, &splitter).with("failed to process " + go_quoted(text)));
  return splitter.take();
}

std::vector<std::string> split_quoted(std::string_view text, char escape) {
  std::vector<std::string> words;
  std::string word;
  bool open = false;  // an empty pair of quotes is a word too
  char quote = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (quote == 0 && is_blank(c)) {
      if (open) words.push_back(std::exchange(word, {}));
      open = false;
      continue;
    }
    open = true;
    if (c == escape && quote != '\'') {
      if (at + 1 == text.size()) break;  // an escape at the very end escapes nothing
      word += c;
      word += text[++at];
      continue;
    }
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    }
    word += c;
  }
  if (open && !word.empty()) words.push_back(word);
  return words;
}

std::vector<std::string> split_blank(std::string_view text) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (at < text.size()) {
    while (at < text.size() && is_blank(text[at])) ++at;
    const std::size_t start = at;
    while (at < text.size() && !is_blank(text[at])) ++at;
    if (at > start) words.emplace_back(text.substr(start, at - start));
  }
  return words;
}

std::string_view trim_left(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  return text;
}

std::string_view trim(std::string_view text) {
  text = trim_left(text);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

std::string upper(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return result;
}

std::optional<bool> parse_bool(std::string_view text) {
  for (const auto yes : {"1", "t", "T", "true", "TRUE", "True"})
    if (text == yes) return true;
  for (const auto no : {"0", "f", "F", "false", "FALSE", "False"})
    if (text == no) return false;
  return std::nullopt;
}

}  // namespace engine::build
