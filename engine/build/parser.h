#pragma once
// Dockerfile text → instructions: directives, continuations, comments, flags, heredocs. Knows no instruction's meaning.
// Source: moby/buildkit frontend/dockerfile/parser/parser.go.
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace engine::build {

using base::Result;

/// Lines of the Dockerfile, from 1; column 0 = the whole line.
struct Span {
  int first = 0, last = 0;
  int column = 0;
};

struct Heredoc {
  std::string name;
  std::string content;   ///< leading tabs already removed for "<<-"
  std::string raw;       ///< as written
  bool expand = true;    ///< false: the delimiter was quoted
  bool chomp = false;
};

struct Instruction {
  std::string keyword;                ///< upper case
  std::string typed;                  ///< as it was written
  std::vector<std::string> flags;     ///< "--from=x"
  std::string rest;                   ///< after the flags, continuations joined
  std::string original;               ///< keyword, flags and rest
  std::vector<Heredoc> heredocs;
  Span span;
};

struct Dockerfile {
  std::string name;                   ///< shown in errors
  char escape = '\\';
  std::string syntax;                 ///< "# syntax=": accepted, never fetched: all of it is built in
  std::string check;                  ///< "# check=": options of the build checks
  std::vector<std::string> lines;
  std::vector<Instruction> instructions;
};

/// Errors: invalid; `where` then names the lines.
Result<Dockerfile> parse_dockerfile(const std::string& name, std::string_view text, Span& where);

/// One instruction without heredocs: an ONBUILD trigger.
Result<Instruction> parse_instruction(std::string_view line, char escape);

/// "<<EOF", "<<-'EOF'", "3<<X" → name, quoting, tabs; nothing when the word is no heredoc.
std::optional<Heredoc> heredoc_word(const std::string& word);

/// `where` with the line and column of the word an error's text is about, when it quotes one that stands there: "unknown flag: --chwn",
/// "\"/nothing\": not found". Else `where` as it is.
Span point_at(const Dockerfile& file, const Span& where, std::string_view message);

/// "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN x\n…--------------------\n"
std::string excerpt(const Dockerfile& file, const Span& where);

}  // namespace engine::build
