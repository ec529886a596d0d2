#pragma once
// Trees as text, byte for byte as Docker Compose's libraries write them. Internal to the room.
#include <string>

#include "compose/load/rules.h"
#include "compose/model/node.h"

namespace compose::load {

/// Block YAML, two spaces a level; keys of free maps in go-yaml's natural order, attributes in the rule's.
std::string write_yaml(const model::Node& node, const Rule* rule);
/// Appends one entry of a mapping that stands at `indent`.
void append_yaml(std::string& out, std::string_view key, const model::Node& value, const Rule* rule, std::size_t indent);

struct JsonStyle {
  bool indented = true;    ///< by two spaces, else compact
  bool escape_html = true; ///< < > & as \u003c …
  bool empty_lists = false; ///< print [] also where no type is known
};
/// JSON with keys of free maps sorted by byte and what the rules say JSON always has (command: null).
/// `depth`: of what encloses it, for the indentation of its lines.
std::string write_json(const model::Node& node, const Rule* rule, const JsonStyle& style = {}, std::size_t depth = 0);

/// go-yaml's order of keys: digits by value, letters after other characters.
bool natural_less(std::string_view a, std::string_view b);

/// Bytes of the UTF-8 character `text` begins with; 0 when it is malformed (RFC 3629) or there is none.
std::size_t utf8_length(std::string_view text);

/// "$" → "$$": so that the output loads back to the same values.
std::string double_dollars(std::string text);

}  // namespace compose::load
