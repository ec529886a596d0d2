// The first stages alone: bytes → documents → variables in place. What is printed of a document reads back to the same.
#include <cstdlib>
#include <string>

#include "compose/load/interpolate.h"
#include "compose/load/parse.h"
#include "compose/load/writer.h"

using namespace compose::load;

namespace {

struct Read {
  std::vector<Node> documents;
  bool failed = false;
};

Read read(std::string text, bool replace) {
  const LoadOptions options;
  const auto files = memory_files({});
  std::vector<Diagnostic> diagnostics;
  compose::model::Sources sources;
  sources.files.push_back({"f", std::move(text)});
  Context context(options, *files, diagnostics, sources);
  Read result;
  result.documents = parse_documents(context, 0);
  const Lookup lookup = [](std::string_view name) -> std::optional<std::string> {
    return name.size() % 2 == 0 ? std::optional<std::string>("1") : std::nullopt;
  };
  if (replace)
    for (Node& document : result.documents) interpolate(context, document, lookup);
  (void)print(diagnostics, sources, {.colour = false, .time = "T"});
  result.failed = has_errors(diagnostics);
  return result;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)read(text, true);
  const Read first = read(text, false);
  if (first.failed) return 0;
  for (const Node& document : first.documents) {
    if (!document.is_mapping()) continue;
    const Read again = read(write_yaml(document, nullptr), false);
    if (again.failed || again.documents.size() != 1) std::abort();
    const JsonStyle style{.indented = false, .escape_html = false};
    if (write_json(again.documents[0], nullptr, style) != write_json(document, nullptr, style)) std::abort();
  }
  return 0;
}
