#pragma once
#include <string>
#include <vector>

namespace compose::cli {

/// The whole program; `arguments` holds argv[0] too. Returns the exit code.
int run(std::vector<std::string> arguments);

}  // namespace compose::cli
