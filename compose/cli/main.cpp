#include "compose/cli/cli.h"

int main(int argc, char** argv) { return compose::cli::run(std::vector<std::string>(argv, argv + argc)); }
