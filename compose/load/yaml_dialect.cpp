#include "compose/load/yaml_dialect.h"

#include <yaml.h>

#include <algorithm>

namespace compose::load {
namespace {

constexpr std::string_view flow_marks = ",?[]{}";
constexpr int changes_max = 64;

/// `a:,` in brackets, `!tag,` and "\/": the only places where the two differ.
bool has_signs(std::string_view text) {
  constexpr auto npos = std::string_view::npos;
  for (std::size_t at = text.find(':'); at != npos; at = text.find(':', at + 1))
    if (at + 1 < text.size() && flow_marks.find(text[at + 1]) != npos) return true;
  for (std::size_t at = text.find('!'); at != npos; at = text.find('!', at)) {
    const std::size_t end = std::min(text.find_first_of(" \n,", at), text.size());
    if (end < text.size() && text[end] == ',') return true;
    at = end;
  }
  return text.find("\\/") != npos;
}

/// Byte offsets of character numbers, asked for in rising order.
class Offsets {
 public:
  explicit Offsets(std::string_view text) : text_(text), byte_(text.starts_with("\xEF\xBB\xBF") ? 3 : 0) {}
  std::size_t of(std::size_t character) {
    while (character_ < character && byte_ < text_.size()) {
      do ++byte_;
      while (byte_ < text_.size() && (static_cast<unsigned char>(text_[byte_]) & 0xC0U) == 0x80U);
      ++character_;
    }
    return byte_;
  }

 private:
  std::string_view text_;
  std::size_t byte_, character_ = 0;
};

struct Scanner {
  explicit Scanner(std::string_view text) {
    if (yaml_parser_initialize(&parser) == 0) throw YamlError{{}, "out of memory", ""};
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~Scanner() {
    yaml_token_delete(&token);
    yaml_parser_delete(&parser);
  }
  Scanner(const Scanner&) = delete;
  Scanner& operator=(const Scanner&) = delete;
  bool next() {
    yaml_token_delete(&token);
    token = {};
    return yaml_parser_scan(&parser, &token) != 0;
  }
  yaml_parser_t parser{};
  yaml_token_t token{};
};

void refuse_slash_escape(std::string_view quoted, const yaml_mark_t& at) {
  for (std::size_t i = 0; i + 1 < quoted.size(); ++i) {
    if (quoted[i] != '\\') continue;
    if (quoted[i + 1] == '/')
      throw YamlError{{static_cast<std::uint32_t>(at.line), static_cast<std::uint32_t>(at.column)}, "this is no escape",
                      "'/' needs no backslash"};
    ++i;
  }
}

/// Where the first byte to change is; npos when the library and go-yaml agree, or both fail.
std::size_t first_difference(std::string_view text) {
  Scanner scanner(text);
  Offsets offsets(text);
  while (scanner.next()) {
    const yaml_token_t& token = scanner.token;
    if (token.type == YAML_STREAM_END_TOKEN) return std::string_view::npos;
    if (token.type == YAML_TAG_TOKEN) {
      // For go-yaml a comma is part of the tag.
      const std::size_t end = offsets.of(token.end_mark.index);
      if (end < text.size() && text[end] == ',') return end;
    } else if (token.type == YAML_SCALAR_TOKEN && token.data.scalar.style == YAML_DOUBLE_QUOTED_SCALAR_STYLE) {
      const std::size_t begin = offsets.of(token.start_mark.index);
      refuse_slash_escape(text.substr(begin, offsets.of(token.end_mark.index) - begin), token.start_mark);
    }
  }
  const std::string_view problem = scanner.parser.problem == nullptr ? "" : scanner.parser.problem;
  const std::size_t at = offsets.of(scanner.parser.problem_mark.index);
  if (problem == "found unexpected ':'" && text[at] == ':') return at;
  const bool tag = scanner.parser.context != nullptr && std::string_view(scanner.parser.context) == "while scanning a tag";
  return tag && at < text.size() && text[at] == ',' ? at : std::string_view::npos;
}

/// A character of the private use area that the text has not; "" when it has them all.
std::string unused_character(std::string_view text) {
  for (unsigned char last = 0x80; last < 0xC0; ++last) {
    const std::string candidate{'\xEE', '\x80', static_cast<char>(last)};
    if (text.find(candidate) == std::string_view::npos) return candidate;
  }
  return "";
}

}  // namespace

YamlDialect go_yaml_dialect(std::string_view text) {
  YamlDialect dialect;
  if (!has_signs(text) || text.starts_with("\xFE\xFF") || text.starts_with("\xFF\xFE")) return dialect;
  std::string changed(text);
  for (int changes = 0; changes < changes_max; ++changes) {
    const std::size_t at = first_difference(changed);
    if (at == std::string::npos) {
      if (changes > 0) dialect.text = std::move(changed);
      return dialect;
    }
    if (changed[at] == ',') {
      changed[at] = '.';  // neither tag means anything
      continue;
    }
    if (dialect.colon.empty()) dialect.colon = unused_character(text);
    if (dialect.colon.empty()) return dialect;
    changed.replace(at, 1, dialect.colon);
  }
  return {};
}

}  // namespace compose::load
