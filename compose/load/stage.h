#pragma once
// What the stages share: the path they are at, the place they report to, their limits. Internal to the room.
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "compose/load/diagnostics.h"
#include "compose/load/files.h"
#include "compose/load/load.h"
#include "compose/load/rules.h"
#include "compose/model/node.h"

namespace compose::load {

using model::Directive;
using model::Entry;
using model::Kind;
using model::Node;
using model::Position;

/// A path under construction: frames on the stack, made text only when something is reported.
class Path {
 public:
  Path() = default;
  Path(const Path& parent, std::string_view key) : parent_(&parent), key_(key) {}
  Path(const Path& parent, std::size_t index) : parent_(&parent), index_(index), is_index_(true) {}
  Path(Path&& parent, std::string_view key) = delete;  // a frame points to its parent
  Path(Path&& parent, std::size_t index) = delete;
  [[nodiscard]] std::string text() const;
  [[nodiscard]] bool root() const { return parent_ == nullptr; }
  [[nodiscard]] const Path* parent() const { return parent_; }
  [[nodiscard]] std::string_view key() const { return key_; }

 private:
  const Path* parent_ = nullptr;
  std::string_view key_;
  std::size_t index_ = 0;
  bool is_index_ = false;
};

/// Hostile input is refused within these. Far above anything real, low enough for a bounded answer.
struct Limits {
  std::size_t nodes_max = 1'000'000;          ///< of all files together, aliases expanded
  std::size_t alias_bytes_max = 64U << 20U;   ///< text that aliases repeat, of all files together
  std::size_t entries_max = 20'000;           ///< keys of one mapping: looking one up is linear
  std::size_t depth_max = 200;
  std::size_t include_depth_max = 32;
  std::size_t files_max = 1000;
  std::size_t diagnostics_max = 200;
  std::size_t range_ports_max = 65536;        ///< ports one file may publish through ranges
  std::size_t text_max = 32U << 20U;          ///< bytes of one value after interpolation
};

/// Everything a stage may use besides its tree.
class Context {
 public:
  Context(const LoadOptions& o, const FileReader& f, std::vector<Diagnostic>& d, model::Sources& s)
      : options(o), files(f), diagnostics(d), sources(s) {}
  const LoadOptions& options;
  const FileReader& files;
  std::vector<Diagnostic>& diagnostics;
  model::Sources& sources;
  Limits limits = {};
  std::size_t nodes = 0, alias_bytes = 0;

  void error(Position at, const Path& path, std::string message, std::string hint = {});
  void error(Position at, std::string path, std::string message, std::string hint = {});
  /// A warning in Docker Compose's words.
  void warn(Position at, std::string message);
  /// An error in Docker Compose's words, about no place in a file.
  void plain_error(std::string message, std::string hint = {});
  [[nodiscard]] bool failed() const { return errors_ > 0; }
  [[nodiscard]] std::size_t errors() const { return errors_; }

 private:
  void add(Diagnostic diagnostic);
  std::size_t errors_ = 0;
};

/// "did you mean 'image'?" when one of `candidates` is near `word`, else "".
std::string did_you_mean(std::string_view word, const std::vector<std::string_view>& candidates);

/// `path` as messages name it: relative when it is below `current_dir`.
std::string shown_path(const std::string& path, const std::string& current_dir);

/// "a mapping", "a string" …: how messages name the kind of a value.
std::string_view kind_name(Kind kind);

}  // namespace compose::load
