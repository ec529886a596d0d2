#pragma once
// What a plain YAML scalar means, as the YAML reader of Docker Compose (go-yaml 3) decides it.
#include <string>
#include <string_view>

#include "compose/model/node.h"

namespace compose::load {

/// Sets kind and value of a plain scalar. YAML 1.2 core schema with go-yaml's additions: 0b, 0o and 0-octal integers,
/// digits with underscores, integers beyond 64 bits as reals; "yes", "on" and sexagesimals stay strings.
void resolve_plain(model::Node& node);

/// A time as Go prints it (RFC 3339): what go-yaml turns "2020-1-31" into. `text` must be a timestamp.
std::string format_timestamp(std::string_view text);

/// True for text like 2020-01-31 or 2001-12-14t21:59:43.10-05:00, which go-yaml reads as a time.
bool is_timestamp(std::string_view text);

/// True when a plain scalar with this text would not be read back as the same string.
bool needs_quotes(std::string_view text);

}  // namespace compose::load
