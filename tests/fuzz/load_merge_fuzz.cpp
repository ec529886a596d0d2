// The stages that join files: !reset and !override, merge, unique. Two files separated by a line "%%%"; their trees are joined as they
// are, valid or not, and what is unique stays so.
#include <cstdlib>
#include <string>
#include <string_view>

#include "compose/load/merge.h"
#include "compose/load/parse.h"
#include "compose/load/writer.h"

using namespace compose::load;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto end = text.find("\n%%%\n");
  const LoadOptions options;
  const auto files = memory_files({});
  std::vector<Diagnostic> diagnostics;
  compose::model::Sources sources;
  Context context(options, *files, diagnostics, sources);
  sources.files.push_back({"base", std::string(text.substr(0, end))});
  sources.files.push_back({"over", end == std::string_view::npos ? "{}" : std::string(text.substr(end + 5))});
  std::vector<Node> documents = parse_documents(context, 0);
  for (Node& later : parse_documents(context, 1)) documents.push_back(std::move(later));
  if (context.failed()) return 0;
  Node tree = Node::make_mapping();
  for (Node& document : documents) {
    if (!document.is_mapping()) return 0;
    merge(context, tree, std::move(document), &file_rule(), Path());
    strip_directives(tree);
    enforce_unique(tree, &file_rule());
  }
  (void)print(diagnostics, sources, {.colour = false, .time = "T"});
  const JsonStyle style{.indented = false, .escape_html = false};
  const std::string joined = write_json(tree, nullptr, style);
  enforce_unique(tree, &file_rule());
  if (write_json(tree, nullptr, style) != joined) std::abort();
  return 0;
}
