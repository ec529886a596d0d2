#pragma once
#include <string>

namespace compose::cli {

/// Asks on the terminal; `otherwise` when there is none or the answer is empty.
bool confirm(const std::string& question, bool otherwise);

}  // namespace compose::cli
