#pragma once
// Where go-yaml, a port of an older libyaml, decides otherwise than the library. Internal to yaml_events.cpp.
#include <string>
#include <string_view>

#include "compose/load/yaml_events.h"

namespace compose::load {

/// Text the library reads as go-yaml reads the original.
struct YamlDialect {
  std::string text;              ///< "" = the original as it is
  std::string colon;             ///< stands for a ':' in scalars of `text`
};

/// Throws YamlError for what go-yaml refuses and the library takes. Looks at the text once when it has none of the
/// signs, which is nearly always; else scans it ahead.
YamlDialect go_yaml_dialect(std::string_view text);

}  // namespace compose::load
