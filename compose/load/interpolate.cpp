#include "compose/load/interpolate.h"

#include <cctype>

#include "compose/load/units.h"

namespace compose::load {
namespace {

class Interpolation {
 public:
  Interpolation(Context& context, const Lookup& lookup) : context_(context), lookup_(lookup) {}

  void walk(Node& node, const Rule* rule, const Path& path) {
    if (node.directive == Directive::reset) return;  // gone before Docker Compose looks at variables
    if (node.is_string()) {
      replace(node, path);
      if (rule != nullptr && rule->cast != Cast::none) cast(node, *rule, path);
      return;
    }
    for (Entry& entry : node.entries)
      walk(entry.value, rule == nullptr || is_extension(entry.key) ? nullptr : attribute(*rule, entry.key),
           Path(path, entry.key));
    for (std::size_t i = 0; i < node.items.size(); ++i)
      walk(node.items[i], rule == nullptr ? nullptr : item_of(*rule), Path(path, i));
  }

 private:
  void replace(Node& node, const Path& path) {
    if (node.text.find('$') == std::string::npos) return;
    Substituted result = substitute(node.text, lookup_, context_.limits.text_max);
    for (const std::string& name : result.unset)
      context_.warn(node.at, "The \"" + name + "\" variable is not set. Defaulting to a blank string.");
    if (result.invalid) {
      context_.error(node.at, path, "invalid interpolation format",
                     "to write a dollar sign as it is, double it: $$");
    } else if (!result.error.empty()) {
      context_.error(node.at, path, result.error);
    } else {
      node.text = std::move(result.text);
    }
  }

  void cast(Node& node, const Rule& rule, const Path& path) {
    switch (rule.cast) {
      case Cast::none: return;
      case Cast::boolean: return cast_boolean(node, path);
      case Cast::integer:
        if (const auto value = parse_int(node.text)) node = Node::make_integer(*value, node.at);
        else context_.error(node.at, path, "'" + node.text + "' is not an integer");
        return;
      case Cast::real:
        if (const auto value = parse_double(node.text)) node = Node::make_real(*value, node.at);
        else context_.error(node.at, path, "'" + node.text + "' is not a number");
        return;
    }
  }

  void cast_boolean(Node& node, const Path& path) {
    std::string lower;
    for (const char c : node.text) lower += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool truth = lower == "true" || lower == "y" || lower == "yes" || lower == "on";
    const bool lie = lower == "false" || lower == "n" || lower == "no" || lower == "off";
    if (!truth && !lie) {
      context_.error(node.at, path, "'" + node.text + "' is not a boolean");
      return;
    }
    if (lower != "true" && lower != "false")
      context_.warn(node.at, "\"" + node.text + "\" for boolean is not supported by YAML 1.2, please use `" +
                                 (truth ? "true" : "false") + "`");
    node = Node::make_boolean(truth, node.at);
  }

  Context& context_;
  const Lookup& lookup_;
};

}  // namespace

void interpolate(Context& context, Node& document, const Lookup& lookup) {
  Interpolation(context, lookup).walk(document, &file_rule(), Path());
}

}  // namespace compose::load
