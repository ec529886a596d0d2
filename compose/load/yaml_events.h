#pragma once
// YAML text → events, in document order; the parse stage builds its tree from them. The only place that knows libyaml.
#include <cstdint>
#include <string>
#include <string_view>

namespace compose::load {

/// Where a value begins; lines and columns (in characters) count from 0.
struct YamlMark {
  std::uint32_t line = 0, column = 0;
};

/// What a value is written with besides itself; valid during the call.
struct YamlProperties {
  std::string_view anchor;       ///< "" = none
  std::string_view tag;          ///< resolved: "tag:yaml.org,2002:str", "!reset"; "" = none or "!"
};

struct YamlError {
  YamlMark at;
  std::string message, hint;
};

class YamlEvents {
 public:
  virtual ~YamlEvents() = default;
  virtual void document_start() = 0;
  /// A scalar; one that is not written at all is plain and empty.
  virtual void scalar(YamlMark at, const YamlProperties& properties, std::string_view text, bool plain) = 0;
  virtual void alias(YamlMark at, std::string_view name) = 0;
  virtual void sequence_start(YamlMark at, const YamlProperties& properties) = 0;
  virtual void sequence_end() = 0;
  virtual void mapping_start(YamlMark at, const YamlProperties& properties) = 0;
  virtual void mapping_end() = 0;
};

/// Reports every document of `text` to `events`. Throws YamlError where the text is no YAML 1.1 as go-yaml (Docker
/// Compose's reader) takes it, and lets through what `events` throws, which may be used to stop early.
void read_yaml(std::string_view text, YamlEvents& events);

}  // namespace compose::load
