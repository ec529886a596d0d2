// The stages from the schema on, one after the other on the tree of a file: schema, canonical, defaults, cross-check, paths, normalise,
// typed, bind, and the checks of the project. What the schema refuses goes no further, as in the loader.
#include <cstdlib>
#include <string>

#include "compose/load/bind.h"
#include "compose/load/canonical.h"
#include "compose/load/checks.h"
#include "compose/load/merge.h"
#include "compose/load/normalize.h"
#include "compose/load/parse.h"
#include "compose/load/paths.h"
#include "compose/load/schema.h"
#include "compose/load/typed.h"
#include "compose/load/writer.h"

using namespace compose::load;

namespace {

/// With variables in their place the short forms may stay; both ways end in a tree that can be printed.
void run(const Node& written, Context& context) {
  Node tree = written;
  validate_schema(context, tree);
  if (context.failed()) return;
  canonicalise(context, tree);
  enforce_unique(tree, &file_rule());
  if (context.failed()) return;
  set_defaults(tree);
  check_tree(context, tree);
  resolve_paths(context, tree, "/p");
  const compose::model::StringMap environment = {{"HOME", "/home/me"}, {"A", "1"}};
  normalize(context, tree, "p", environment);
  (void)write_yaml(tree, &file_rule());
  if (context.failed() || !context.options.interpolate) return;
  const Node typed = typed_tree(context, tree);
  if (context.failed()) return;
  compose::model::Project project;
  bind_project(typed, project);
  check_project(context, project);
  (void)write_yaml(typed, &file_rule());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const auto files = memory_files({});
  for (const bool replaced : {true, false}) {
    LoadOptions options;
    options.interpolate = replaced;
    std::vector<Diagnostic> diagnostics;
    compose::model::Sources sources;
    sources.files.push_back({"f", std::string(reinterpret_cast<const char*>(data), size)});
    Context context(options, *files, diagnostics, sources);
    for (const Node& document : parse_documents(context, 0))
      if (document.is_mapping() && !context.failed()) run(document, context);
    (void)print(diagnostics, sources, {.colour = false, .time = "T"});
  }
  return 0;
}
