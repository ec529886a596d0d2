#include "compose/cli/context.h"
#include "compose/reconcile/labels.h"
#include "compose/cli/output.h"
#include "compose/cli/verbs.h"

namespace compose::cli {

base::Result<int> run_version(const Parsed& parsed) {
  const std::string version(reconcile::compatible_version);
  if (parsed.on("short")) {
    out(version + "\n");
  } else if (const auto format = parsed.text("format"); format == "json") {
    out("{\"version\":\"" + version + "\"}\n");
  } else if (format.empty() || format == "pretty") {
    out("Docker Compose version " + version + "\n");
  } else {
    return usage_error("format value \"" + format + "\" could not be parsed");
  }
  return 0;
}

}  // namespace compose::cli
