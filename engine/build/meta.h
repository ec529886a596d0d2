#pragma once
// What instructions do to the image config and its history. Pure.
// Texts of the history are BuildKit's, so that `docker history` reads the same.
#include <optional>
#include <string>
#include <vector>

#include "engine/build/stages.h"
#include "engine/build/words.h"
#include "engine/images/config.h"

namespace engine::build {

/// A stage while it is built.
struct StageMeta {
  images::ImageConfig config;
  std::vector<KeyValue> env;           ///< what steps see: the config's variables and ARGs, the last word counts
  std::vector<instr::ArgItem> args;    ///< ARGs in scope, in order; without a value when none was given
  bool cmd_set = false;                ///< CMD in this stage: a later ENTRYPOINT leaves it alone
  char escape = '\\';

  /// Values of `env`: ENV and ARG are one list, the later instruction wins.
  [[nodiscard]] Lookup lookup() const;
  /// Takes the config's variables over into `env`, with a PATH if there is none: the start of every stage.
  void begin_stage();
  /// "|2 A=1 B=2 " before a RUN's words in the history; "" without args.
  [[nodiscard]] std::string args_prefix() const;
};

struct MetaInputs {
  const StagePlan* plan = nullptr;                  ///< globals
  const std::map<std::string, std::string>* args = nullptr;           ///< --build-arg
  const std::map<std::string, std::string>* platform_args = nullptr;  ///< and TARGETSTAGE
};

/// An empty image: FROM scratch.
StageMeta scratch_meta(const std::string& platform);

/// Applies any instruction that makes no files (not FROM, RUN, COPY, ADD; WORKDIR only sets the path and no history).
/// Errors: invalid.
Result<> apply_meta(StageMeta& meta, const Command& command, const MetaInputs& inputs);

/// WORKDIR's argument expanded and joined to the current one.
Result<std::string> workdir_of(const StageMeta& meta, const std::string& path);
/// `path` (destination of COPY, target of a mount) made absolute with the working directory; a final '/' stays.
std::string absolute_path(const StageMeta& meta, const std::string& path);

void add_history(StageMeta& meta, std::string created_by, bool empty_layer);

/// Words of a command with the shell in front when it is in shell form.
std::vector<std::string> with_shell(const StageMeta& meta, const CommandLine& command);

/// Fills the times that are missing in the history, and `created`. Source: moby/buildkit exporter/containerimage
/// normalizeLayersAndHistory, patchImageConfig.
void finish_times(images::ImageConfig& config);

/// Go's %q of a list: ["a" "b"]
std::string quoted_list(const std::vector<std::string>& words);
/// Go's time.Duration text: "1m30s", "500ms".
std::string duration_text(Nanoseconds value);

}  // namespace engine::build
