#pragma once
#include <string>
#include <vector>

namespace probe {

using Words = std::vector<std::string>;

/// "ok", or "EPERM" for a negative result.
std::string outcome(long result);
std::string read_text(const std::string& path);
void report();
std::string call(const std::string& name);

}  // namespace probe
