#pragma once
// What the files of the command line share, those of engine/files too. Heavy: included by cli*.cpp only.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "engine/registry/progress.h"

namespace engine::registry {

using base::Result;

/// Options and operands, after the table of a verb was applied.
struct Arguments {
  std::map<std::string, std::vector<std::string>> options;
  std::vector<std::string> operands;
  [[nodiscard]] bool has(const std::string& name) const { return options.contains(name); }
  [[nodiscard]] std::string get(const std::string& name) const { return has(name) ? options.at(name).back() : ""; }
};

enum class Output : std::uint8_t { plain, json, quiet };

/// How a verb speaks: --progress.
struct Reporter {
  Output output = Output::plain;
  static Result<Reporter> from(const Arguments& arguments);
  [[nodiscard]] ProgressSink sink() const;
  /// {"result": {…}} or the text. `fields` are strings.
  int result(const std::vector<std::pair<std::string, std::string>>& fields, const std::string& text) const;
};

using Body = std::function<Result<int>(const Arguments&, const Reporter&)>;
struct Verb {
  std::vector<std::string> values, flags;   ///< options with and without an argument
  std::size_t operands_min = 0, operands_max = 0;
  std::string usage;
  Body body;
};

/// One write a line: several workers may share a pipe.
void print_line(const std::string& line);
/// "1.23MB"
std::string size_text(std::int64_t bytes);

/// Reads the words by the verb's table and runs its body. Returns the exit code; what went wrong was printed.
int run_verb(const Verb& verb, const std::vector<std::string>& words);

const std::map<std::string, Verb>& remote_verbs();
Result<int> do_prune_cache(const Arguments& arguments);
Result<int> do_inspect_remote(const Arguments& arguments);

}  // namespace engine::registry
