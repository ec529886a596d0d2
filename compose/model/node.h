#pragma once
// The tree every loading stage works on, and the canonical tree `config` prints: YAML values with where they came from.
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace compose::model {

/// A place in a source file. `file` indexes Sources::files; line and column count from 1, 0 = not from a file.
struct Position {
  std::uint32_t file = 0, line = 0, column = 0;
  [[nodiscard]] bool known() const { return line != 0; }
  bool operator==(const Position&) const = default;
};

enum class Kind : std::uint8_t { null, boolean, integer, real, string, sequence, mapping };
/// Merge orders of the Compose Specification, written as YAML tags `!reset` and `!override`.
enum class Directive : std::uint8_t { none, reset, override_ };

struct Entry;

/// A value. Scalars keep their source text; `integer`, `number` and `boolean` hold what it means.
struct Node {
  Kind kind = Kind::null;
  Directive directive = Directive::none;
  bool time = false;                 ///< a string that is a time: YAML knows those, Compose does not
  bool quoted = false;               ///< a string written in quotes or as a block: never another type
  bool exact = false;                ///< a real that is a whole number too large for `integer`: `text` has its digits
  Position at;
  std::string text;                  ///< the scalar as written (escapes resolved); the value of a string
  union {
    std::int64_t integer = 0;
    double number;
    bool boolean;
  };
  std::vector<Node> items;           ///< of a sequence
  std::vector<Entry> entries;        ///< of a mapping, in the order written; keys are unique

  [[nodiscard]] bool is_null() const { return kind == Kind::null; }
  [[nodiscard]] bool is_string() const { return kind == Kind::string; }
  [[nodiscard]] bool is_sequence() const { return kind == Kind::sequence; }
  [[nodiscard]] bool is_mapping() const { return kind == Kind::mapping; }
  [[nodiscard]] bool is_scalar() const { return kind < Kind::sequence; }

  /// The value under `key` of a mapping; nullptr when this is no mapping or has none.
  [[nodiscard]] const Node* find(std::string_view key) const;
  [[nodiscard]] Node* find(std::string_view key);
  /// As find, adding a null entry at the end first when there is none.
  Node& at_key(std::string_view key, Position where = {});
  /// Removes an entry; false when there was none.
  bool erase(std::string_view key);

  static Node make_null(Position at = {});
  static Node make_string(std::string value, Position at = {});
  static Node make_boolean(bool value, Position at = {});
  static Node make_integer(std::int64_t value, Position at = {});
  static Node make_real(double value, Position at = {});
  static Node make_sequence(Position at = {});
  static Node make_mapping(Position at = {});
};

struct Entry {
  std::string key;
  Position key_at;
  Node value;
};

/// The first step of a path: `name`, `'quoted name'` or `[3]`. What is in brackets and no number stays a name.
struct PathStep {
  std::string_view name;
  std::optional<std::size_t> index;
  std::string_view rest;  ///< what follows it and its dot
};
/// `path` is not empty, and must outlive the step.
PathStep first_step(std::string_view path);

/// Where the value at "services.web.ports[0]" is; the closest enclosing value when the path goes deeper than the tree.
/// A key with a dot is written "services.'a.b'"; a plain key also matches when it is the only reading.
Position position_of(const Node& root, std::string_view path);

}  // namespace compose::model
