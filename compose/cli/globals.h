#pragma once
// The flags before the verb, with what the environment says about them.
#include <string>
#include <string_view>
#include <vector>

namespace compose::cli {

struct Globals {
  std::vector<std::string> files, env_files, profiles;
  std::string project_name, project_directory;
  std::string ansi = "auto";          ///< never | always | auto
  std::string progress = "auto";      ///< auto | tty | plain | json | quiet
  bool dry_run = false, compatibility = false, all_resources = false;
  bool compatibility_flag = false;    ///< said by --compatibility, not by COMPOSE_COMPATIBILITY: `config` tells them apart
  long parallel = -1;                 ///< workers that pull or build at once; -1 = no limit of ours
  bool plugin = false;                ///< called as `docker compose`
};

/// Set once, before the verb runs.
Globals& globals();

/// A switch in the environment, as Docker Compose reads it: y, 1, t, true in any case.
bool means_yes(std::string_view text);

/// Colour and cursor movement on this stream? --ansi, NO_COLOR, CLICOLOR_FORCE, TERM=dumb, and whether it is a terminal.
bool colour_on(int fd);

}  // namespace compose::cli
