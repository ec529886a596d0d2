#pragma once
// The one table of verbs: parser, help and the tests that compare it with Docker Compose's read it.
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "compose/cli/flags.h"

namespace compose::cli {

/// Returns the exit code. An Error is printed as it is, with exit code 1.
using Handler = base::Result<int> (*)(const Parsed& parsed);

struct Verb {
  std::string_view name;
  std::string_view usage;            ///< after the name: "[OPTIONS] [SERVICE...]"
  std::string_view summary;
  std::span<const Flag> flags;
  Handler handler = nullptr;         ///< nullptr: not supported, `refused` says why
  bool interspersed = true;          ///< false: flags end at the first argument
  std::size_t least = 0, most = ~std::size_t{0};  ///< arguments
  std::string_view refused;
  bool hidden = false;
  bool raw = false;                  ///< the handler gets every word after the verb as an argument, unparsed
};

std::span<const Verb> verbs();
std::span<const Flag> global_flags();
const Verb* find_verb(std::string_view name);

std::string root_help();
std::string verb_help(const Verb& verb);

// One handler a verb, in the file of its family.
base::Result<int> run_up(const Parsed&);
base::Result<int> run_create(const Parsed&);
base::Result<int> run_scale(const Parsed&);
base::Result<int> run_plan(const Parsed&);
base::Result<int> run_history(const Parsed&);
base::Result<int> run_down(const Parsed&);
base::Result<int> run_start(const Parsed&);
base::Result<int> run_stop(const Parsed&);
base::Result<int> run_restart(const Parsed&);
base::Result<int> run_kill(const Parsed&);
base::Result<int> run_rm(const Parsed&);
base::Result<int> run_pause(const Parsed&);
base::Result<int> run_unpause(const Parsed&);
base::Result<int> run_wait(const Parsed&);
base::Result<int> run_ps(const Parsed&);
base::Result<int> run_ls(const Parsed&);
base::Result<int> run_images(const Parsed&);
base::Result<int> run_port(const Parsed&);
base::Result<int> run_top(const Parsed&);
base::Result<int> run_stats(const Parsed&);
base::Result<int> run_volumes(const Parsed&);
base::Result<int> run_version(const Parsed&);
base::Result<int> run_logs(const Parsed&);
base::Result<int> run_events(const Parsed&);
base::Result<int> run_exec(const Parsed&);
base::Result<int> run_attach(const Parsed&);
base::Result<int> run_run(const Parsed&);
base::Result<int> run_cp(const Parsed&);
base::Result<int> run_export(const Parsed&);
base::Result<int> run_watch(const Parsed&);
base::Result<int> run_commit(const Parsed&);
base::Result<int> run_build(const Parsed&);
base::Result<int> run_publish(const Parsed&);
base::Result<int> run_pull(const Parsed&);
base::Result<int> run_push(const Parsed&);
base::Result<int> run_config(const Parsed&);
base::Result<int> run_env(const Parsed&);
base::Result<int> run_image_group(const Parsed&);
base::Result<int> run_volume_group(const Parsed&);
base::Result<int> run_network_group(const Parsed&);
base::Result<int> run_system_group(const Parsed&);
base::Result<int> run_login(const Parsed&);
base::Result<int> run_logout(const Parsed&);

}  // namespace compose::cli
