#pragma once
// What is wrong (or odd) in the files, as data; printed once by the program.
#include <string>
#include <vector>

#include "compose/model/project.h"

namespace compose::load {

enum class Severity : std::uint8_t { warning, error };

struct Diagnostic {
  Severity severity = Severity::error;
  model::Position at;                ///< unknown when nothing in a file is to blame (a missing file, an option)
  std::string path;                  ///< "services.web.ports[0]"; may be empty
  std::string message;               ///< lower case, no final dot
  std::string hint;                  ///< "did you mean 'image'?"; may be empty
  bool plain = false;                ///< printed as the bare message, in Docker Compose's words (missing file, no config)
};

struct PrintStyle {
  bool colour = false;
  std::string time = {};             ///< RFC 3339 time for warnings; "" = now
};

/// error: compose.yaml:7:11: services.web.ports[0]: port 70000 is out of range 1-65535
///      7 |       - "70000:80"
///        |         ^
/// hint: …
/// Warnings are printed in Docker Compose's form: time="…" level=warning msg="…".
std::string print(const std::vector<Diagnostic>& diagnostics, const model::Sources& sources, const PrintStyle& style = {});

bool has_errors(const std::vector<Diagnostic>& diagnostics);

}  // namespace compose::load
