#pragma once
// Instructions with their meaning: flags checked, exec and shell forms told apart. Variables are not expanded yet.
// Source: moby/buildkit frontend/dockerfile/instructions/{parse,commands,commands_runmount}.go.
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "engine/api/types.h"
#include "engine/build/parser.h"

namespace engine::build {

struct KeyValue {
  std::string key, value;
};

/// RUN, CMD, ENTRYPOINT: `words` is the whole line in shell form.
struct CommandLine {
  bool shell = false;
  std::vector<std::string> words;
};

enum class RunMountType : std::uint8_t { bind, cache, tmpfs, secret, ssh };
enum class CacheSharing : std::uint8_t { shared, private_, locked };

struct RunMount {
  RunMountType type = RunMountType::bind;
  std::string from, source, target, id;
  std::optional<bool> read_only;              ///< absent: the type's default
  CacheSharing sharing = CacheSharing::shared;
  bool required = false;
  std::int64_t size_bytes = 0;
  std::optional<std::uint32_t> mode;
  std::optional<std::string> uid, gid;
  std::optional<std::string> env;             ///< secret: also as this variable
};

namespace instr {
struct From { std::string image, name, platform; };
struct Run {
  CommandLine command;
  std::vector<std::string> mounts;            ///< the flag's text: variables inside are expanded first
  std::string network, security;
  std::vector<Heredoc> heredocs;
};
struct Copy {
  bool add = false;
  std::vector<std::string> sources;
  std::string destination;
  std::string from, chown, chmod, checksum;
  bool link = false, parents = false;
  std::optional<bool> keep_git_dir;
  std::optional<bool> unpack;
  std::vector<std::string> exclude;
  std::vector<Heredoc> heredocs;
};
struct Env { std::vector<KeyValue> pairs; };
struct Label { std::vector<KeyValue> pairs; };
struct ArgItem { std::string key; std::optional<std::string> value; };
struct Arg { std::vector<ArgItem> items; };
struct Workdir { std::string path; };
struct User { std::string user; };
struct Expose { std::vector<std::string> ports; };
struct Volume { std::vector<std::string> paths; };
struct Entrypoint { CommandLine command; };
struct Cmd { CommandLine command; };
struct Healthcheck { HealthSpec spec; };
struct Maintainer { std::string name; };
struct StopSignal { std::string signal; };
struct Shell { std::vector<std::string> words; };
struct OnBuild { std::string trigger; };
}  // namespace instr

using Meaning =
    std::variant<instr::From, instr::Run, instr::Copy, instr::Env, instr::Label, instr::Arg, instr::Workdir, instr::User,
                 instr::Expose, instr::Volume, instr::Entrypoint, instr::Cmd, instr::Healthcheck, instr::Maintainer,
                 instr::StopSignal, instr::Shell, instr::OnBuild>;

struct Command {
  Meaning meaning;
  std::string original;
  Span span;
  std::string typed;   ///< the keyword as it was written
};

/// The name a misspelt one may have meant: at most two letters to change, add or take away; "" = none. Of several equally near ones
/// the first. An exact match means that the spelling is not what is wrong.
std::string closest_name(std::string_view wrong, const std::vector<std::string>& names);

/// Errors: invalid, worded as BuildKit does ("unknown instruction: FOO", "unknown flag: --x").
Result<Command> understand(const Instruction& instruction, char escape);

/// "type=cache,target=/x,…" with variables already replaced.
Result<RunMount> parse_run_mount(const std::string& text);

/// "90s", "1m30s", "1.5h" as Go's time.ParseDuration.
Result<Nanoseconds> parse_duration(const std::string& text);

/// A JSON array of strings; nothing when the text is none (then it is shell form). An array holding anything else is an error.
Result<std::optional<std::vector<std::string>>> parse_exec_form(const std::string& text);

}  // namespace engine::build
