#pragma once
// Quotes, escapes and variables in Dockerfile words, as BuildKit's shell lexer has them.
// Source: moby/buildkit frontend/dockerfile/shell/lex.go; docs.docker.com/reference/dockerfile "Environment replacement".
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace engine::build {

using base::Result;

/// The value of a variable; nullopt when it is not set.
using Lookup = std::function<std::optional<std::string>(const std::string&)>;

struct ExpandOptions {
  char escape = '\\';
  bool keep_quotes = false;      ///< quotes stay in the result (heredoc detection)
  bool ignore_quotes = false;    ///< quotes are ordinary characters (heredoc bodies)
  bool keep_escapes = false;
  bool keep_unset = false;       ///< "$x" stays "$x" when x is not set
};

/// One word: variables replaced, quotes and escapes taken away.
/// Errors: invalid (unterminated quote or brace, bad modifier, ${x:?message}).
Result<std::string> expand_word(std::string_view text, const Lookup& lookup, const ExpandOptions& options = {});

/// The same, then split at blanks outside quotes; a variable's value is split too.
Result<std::vector<std::string>> expand_words(std::string_view text, const Lookup& lookup, const ExpandOptions& options = {});

/// Splits at blanks outside quotes and keeps quotes and escapes: the arguments of ENV, ARG and LABEL.
std::vector<std::string> split_quoted(std::string_view text, char escape);

/// At blanks, nothing else.
std::vector<std::string> split_blank(std::string_view text);
std::string_view trim(std::string_view text);
/// Removes blanks at the start.
std::string_view trim_left(std::string_view text);
/// Go's %q.
std::string go_quoted(std::string_view text);
std::string lower(std::string_view text);
std::string upper(std::string_view text);
/// The words Go's strconv.ParseBool takes.
std::optional<bool> parse_bool(std::string_view text);

}  // namespace engine::build
