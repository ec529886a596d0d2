#include "compose/load/yaml_events.h"

#include <yaml.h>

#include <algorithm>
#include <vector>

#include "compose/load/yaml_dialect.h"

namespace compose::load {
namespace {

/// The C library's parser and the event it last made, both freed whatever is thrown.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {
    if (yaml_parser_initialize(&parser_) == 0) throw YamlError{{}, "out of memory", ""};
    yaml_parser_set_input_string(&parser_, reinterpret_cast<const unsigned char*>(text.data()), text.size());
  }
  ~Parser() {
    yaml_event_delete(&event_);
    yaml_parser_delete(&parser_);
  }
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  const yaml_event_t& next() {
    yaml_event_delete(&event_);
    event_ = {};
    if (yaml_parser_parse(&parser_, &event_) == 0) fail();
    return event_;
  }

 private:
  [[noreturn]] void fail() const;

  std::string_view text_;
  yaml_parser_t parser_{};
  yaml_event_t event_{};
};

YamlMark mark(const yaml_mark_t& at) {
  return {static_cast<std::uint32_t>(at.line), static_cast<std::uint32_t>(at.column)};
}

std::string_view view(const unsigned char* text) {
  return text == nullptr ? std::string_view() : std::string_view(reinterpret_cast<const char*>(text));
}

/// The library says what it expected; people want to know what they forgot.
struct Wording {
  std::string_view problem, message, hint = {};
};
constexpr Wording wordings[] = {
    {"mapping values are not allowed in this context", "a second ':' cannot stand here", "is a quote missing around the value, or is the line above unfinished?"},
    {"could not find expected ':'", "a ':' is missing after this key", "a key is followed by ':' and a blank"},
    {"did not find expected key", "a key or the end of the mapping should stand here", "is the line indented like its neighbours?"},
    {"did not find expected '-' indicator", "a '-' or the end of the list should stand here", "is the line indented like the other items?"},
    {"found unexpected end of stream", "this quoted value has no end", "close the quote"},
    {"found unexpected document indicator", "this quoted value has no end before the document's", "close the quote"},
    {"found unknown escape character", "this is no escape", "in double quotes a backslash is written \\\\, in single quotes as it is"},
    {"block sequence entries are not allowed in this context", "a list cannot begin here", "begin it on a line of its own below its key"},
    {"did not find expected ',' or ']'", "',' or ']' is missing"},
    {"did not find expected ',' or '}'", "',' or '}' is missing"},
    {"did not find expected <document start>", "this is not part of the document above", "is it indented? a new document begins with '---'"},
    {"control characters are not allowed", "control characters are not allowed"},
};

/// The byte at a mark; '\0' beyond the end.
char byte_at(std::string_view text, YamlMark at) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  for (std::uint32_t line = 0; line < at.line; ++line) text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  for (std::uint32_t column = 0; column < at.column && !text.empty(); ++column) {
    do text.remove_prefix(1);
    while (!text.empty() && (static_cast<unsigned char>(text[0]) & 0xC0U) == 0x80U);
  }
  return text.empty() ? '\0' : text[0];
}

YamlMark mark_of_byte(std::string_view text, std::size_t offset) {
  YamlMark at;
  for (const char c : text.substr(0, std::min(offset, text.size()))) {
    if (c == '\n') ++at.line, at.column = 0;
    else if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++at.column;
  }
  return at;
}

void Parser::fail() const {
  if (parser_.error == YAML_MEMORY_ERROR) throw YamlError{{}, "out of memory", ""};
  const std::string_view problem = parser_.problem == nullptr ? "unreadable" : parser_.problem;
  YamlError error{mark(parser_.problem_mark), std::string(problem), ""};
  for (const Wording& known : wordings) {
    if (known.problem != problem) continue;
    error.message = known.message;
    error.hint = known.hint;
  }
  if (parser_.error == YAML_READER_ERROR) {
    error.at = mark_of_byte(text_, parser_.problem_offset);
    if (problem.find("UTF-8") != std::string_view::npos) error.message = "this is not UTF-8";
  }
  // What is missing at the end is best shown where it was opened.
  const bool opened = problem == "found unexpected end of stream" || problem == "found unexpected document indicator" ||
                      problem == "could not find expected ':'";
  if (opened && parser_.context != nullptr) error.at = mark(parser_.context_mark);
  if (problem == "found character that cannot start any token") {
    const char c = byte_at(text_, error.at);
    error.message = c == '\t' ? "a tab cannot be used for indentation" : std::string("'") + c + "' cannot begin a value";
    error.hint = c == '\t' ? "indent with blanks" : "write the value in quotes";
  }
  throw error;
}

/// Where go-yaml, a port of an older libyaml, is stricter than the library.
class Strictness {
 public:
  void document(const yaml_event_t& event) const {
    const auto* version = event.data.document_start.version_directive;
    if (version != nullptr && (version->major != 1 || version->minor != 1))
      throw YamlError{mark(event.start_mark), "only YAML 1.1 documents are read", "take the %YAML line away"};
  }
  void open(bool flow) { flow_.push_back(flow); }
  void close() { flow_.pop_back(); }
  void scalar(const yaml_event_t& event) const {
    if (flow_.empty() || !flow_.back() || event.data.scalar.style != YAML_PLAIN_SCALAR_STYLE) return;
    const auto text = view(event.data.scalar.value);
    if (text.find('?') != std::string_view::npos)
      throw YamlError{mark(event.start_mark), "'?' stands for a key inside brackets and braces", "write the value in quotes"};
  }

 private:
  std::vector<bool> flow_;      ///< of every open collection: written with brackets or braces?
};

}  // namespace

namespace {

std::string with_colons(std::string_view text, const std::string& colon) {
  std::string out(text);
  for (auto at = out.find(colon); at != std::string::npos; at = out.find(colon, at + 1)) out.replace(at, colon.size(), ":");
  return out;
}

}  // namespace

void read_yaml(std::string_view original, YamlEvents& events) {
  const YamlDialect dialect = go_yaml_dialect(original);
  Parser parser(dialect.text.empty() ? original : dialect.text);
  Strictness strictness;
  for (;;) {
    const yaml_event_t& event = parser.next();
    const YamlMark at = mark(event.start_mark);
    switch (event.type) {
      case YAML_STREAM_END_EVENT: return;
      case YAML_DOCUMENT_START_EVENT:
        strictness.document(event);
        events.document_start();
        break;
      case YAML_ALIAS_EVENT: events.alias(at, view(event.data.alias.anchor)); break;
      case YAML_SCALAR_EVENT: {
        strictness.scalar(event);
        const auto& scalar = event.data.scalar;
        const std::string_view value(reinterpret_cast<const char*>(scalar.value), scalar.length);
        const bool plain = scalar.style == YAML_PLAIN_SCALAR_STYLE;
        const YamlProperties properties{view(scalar.anchor), view(scalar.tag)};
        if (dialect.colon.empty()) events.scalar(at, properties, value, plain);
        else events.scalar(at, properties, with_colons(value, dialect.colon), plain);
        break;
      }
      case YAML_SEQUENCE_START_EVENT:
        strictness.open(event.data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE);
        events.sequence_start(at, {view(event.data.sequence_start.anchor), view(event.data.sequence_start.tag)});
        break;
      case YAML_MAPPING_START_EVENT:
        strictness.open(event.data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
        events.mapping_start(at, {view(event.data.mapping_start.anchor), view(event.data.mapping_start.tag)});
        break;
      case YAML_SEQUENCE_END_EVENT:
        strictness.close();
        events.sequence_end();
        break;
      case YAML_MAPPING_END_EVENT:
        strictness.close();
        events.mapping_end();
        break;
      default: break;
    }
  }
}

}  // namespace compose::load
