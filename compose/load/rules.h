#pragma once
// The one table that knows the attributes of the Compose Specification. Every stage walks a tree together with its rule.
// A new attribute is a row in rules.cpp, a member in compose/model and its line in bind; nothing else.
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compose/model/node.h"

namespace compose::load {

/// Kinds of value the schema accepts, as a set.
enum Accepts : std::uint16_t {
  null_ = 1, string_ = 2, integer_ = 4, number_ = 12, boolean_ = 16, list_ = 32, map_ = 64,
  any_ = 127,
};

/// What a string becomes once its variables are replaced (compose-spec "interpolation": the type of the attribute).
enum class Cast : std::uint8_t { none, boolean, integer, real };

/// How the value of a later file joins an earlier one. `automatic`: mappings by key, lists appended, scalars replaced.
enum class Merge : std::uint8_t {
  automatic, replace, key_values, build, depends_on, extra_hosts, pools, logging, names,
};

/// Which items of a list are the same thing, so that the later wins.
enum class Unique : std::uint8_t { none, key_value, mount, device, config, secret, port, expose, env_file };

/// The short form and its expansion.
enum class Short : std::uint8_t {
  none, service, build, key_value, depends_on, env_file, list, extends, gpus, names, models, mount, file, secret_file,
  port, ssh, device, text, external, include, networks, device_request,
};

/// Which strings are paths, and of what kind. `foreign`: perhaps of a Windows machine.
enum class PathKind : std::uint8_t { none, file, foreign, context, contexts, bind_source, volume_device, extends_file, watch };

/// The canonical type: what the value is turned into, and how it is printed.
enum class Form : std::uint8_t {
  any,            ///< as it is (x-…)
  dropped,        ///< read, used by the loader, never printed
  text,           ///< string; left out when empty
  boolean,        ///< left out when false
  boolean_kept,   ///< printed whenever written
  integer,        ///< left out when 0
  integer_kept,
  real,           ///< left out when 0
  real32,         ///< as `real` in single precision
  cpus,           ///< real from a number or a string
  duration,       ///< "1m30s"; printed whenever written
  bytes,          ///< "1073741824" (text); left out when 0
  texts,          ///< list of strings; a single string is a list of one
  words,          ///< command line: a string is split as a shell does; printed when written
  health_test,    ///< a string is CMD-SHELL
  labels,         ///< map of strings; list of k=v; null is ""
  strings_map,    ///< as labels
  environment,    ///< map of strings, null kept
  hosts,          ///< list "name=address"
  mode,           ///< permission bits, "0440"
  count,          ///< integer, "all" = -1
  ulimit,         ///< integer or {soft, hard}
  ssh,            ///< list of keys
  env_files,      ///< list of paths or {path, required, format}; dropped once the files are read
  lists_map,      ///< map of lists of strings (provider options)
  object,         ///< closed set of attributes; printed when written, even empty
  object_filled,  ///< printed only when it has something in it
  map,            ///< names of the user's choice → `value`; left out when empty
  list,           ///< of `item`; left out when empty
};

struct Object;

struct Rule {
  std::string_view key;
  std::uint16_t accepts = string_;
  Form form = Form::text;
  const Object* object = nullptr;       ///< a mapping's attributes
  const Rule* value = nullptr;          ///< a mapping with free keys: each value
  const Rule* item = nullptr;           ///< a list: each item
  Cast cast = Cast::none;
  Merge merge = Merge::automatic;
  Unique unique = Unique::none;
  Short expand = Short::none;
  PathKind path = PathKind::none;
  std::string_view choices = {};             ///< "a|b|c": the only strings accepted
  std::string_view key_pattern = {};         ///< free keys: one of the names in schema.cpp ("name", "free_name", "filled")
  std::string_view format = {};              ///< schema.cpp: "percent", "number" (the schema takes a string, the reader does not) …
  std::uint8_t bits = 64;               ///< unsigned integers: what is kept of a larger one
  bool unique_items = false;            ///< equal items are refused
  bool always = false;                  ///< printed with its zero when absent
  bool json_null = false;               ///< JSON prints null when absent
  bool json_object = false;             ///< JSON prints {} when absent
  std::string_view json_key = {};            ///< JSON key when it is not `key`
};

struct Object {
  std::span<const Rule> attributes;     ///< in the order they are printed
  std::span<const std::string_view> required = {};
  bool extensions = true;               ///< x-… allowed
  bool extensions_kept = true;          ///< … and printed
  bool open = false;                    ///< unknown keys are ignored, with a warning: the schema does not exclude them
};

/// The rule of a whole file.
const Rule& file_rule();
/// The row of `key`; nullptr for an unknown key and for x-….
const Rule* attribute(const Rule& mapping, std::string_view key);
/// The row of one item of a list; nullptr when the list is free-form.
inline const Rule* item_of(const Rule& list) { return list.item; }
inline bool is_extension(std::string_view key) { return key.starts_with("x-"); }

/// Every attribute as "services.*.build.context", lists without brackets: what tests compare with the specification.
std::vector<std::string> attribute_paths();

}  // namespace compose::load
