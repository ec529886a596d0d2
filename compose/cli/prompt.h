#pragma once
#include <string>

namespace compose::cli {

/// Asks on the terminal; `otherwise` when there is none or the answer is empty.
bool confirm(const std::string& question, bool otherwise);
/// The same of whatever standard input is: a script may answer too. No when the answer is empty or there is none.
bool confirm_from_input(const std::string& question);

}  // namespace compose::cli
