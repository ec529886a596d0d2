#pragma once
// Rows with named fields, as JSON and through the part of Go's templates people use with --format.
#include <map>
#include <string>
#include <vector>

#include "base/result.h"

namespace compose::cli {

/// One row. A value is text or, when it is a number, object or list, JSON.
class Fields {
 public:
  void set(std::string name, std::string value) { values_.push_back({std::move(name), std::move(value), false}); }
  void set_json(std::string name, std::string json) { values_.push_back({std::move(name), std::move(json), true}); }
  [[nodiscard]] const std::string* find(std::string_view name) const;
  [[nodiscard]] std::string text(std::string_view name) const;
  /// {"A":"…","B":1} in the order set.
  [[nodiscard]] std::string json() const;

 private:
  struct Value {
    std::string name, value;
    bool is_json;
  };
  std::vector<Value> values_;
};

/// --format: "table {{.Name}}\t{{.State}}" with a heading, or a template a row. Understands {{.Field}}, {{json .}}, {{json .Field}},
/// {{upper .Field}}, {{lower .Field}}, {{.Label "name"}}, \t and \n. Error invalid for anything else.
base::Result<std::string> render_rows(const std::string& format, const std::vector<Fields>& rows);

}  // namespace compose::cli
