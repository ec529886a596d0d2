// The build checks of what instructions do: each stage is carried out as far as that needs no files.
#include <algorithm>
#include <map>

#include "engine/build/checks.h"
#include "engine/build/meta.h"
#include "engine/build/words.h"

namespace engine::build {
namespace {

/// A stage as far as it is carried out.
struct Known {
  StageMeta meta;
  bool whole = true;          ///< false: its base image is not known, so neither are its variables
  bool workdir_set = false;   ///< here or in a stage it is built from, not in an image
};

/// A word of a name like DB_PASSWORD that says it is secret, and none that says it is public.
bool sounds_secret(const std::string& name) {
  static const std::set<std::string> secret = {"apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"};
  bool found = false;
  std::string text = lower(name);
  // The words stand at an end or between underscores; "api_key" is found by its last one.
  std::size_t start = 0;
  while (true) {
    const std::size_t end = text.find('_', start);
    const std::string word = text.substr(start, end == std::string::npos ? end : end - start);
    if (word == "public") return false;
    found = found || secret.contains(word);
    if (end == std::string::npos) return found;
    start = end + 1;
  }
}

/// "linux/arm64/v8" is "linux/arm64", as containerd writes platforms.
std::string short_platform(const std::string& platform) { return platform.ends_with("/arm64/v8") ? platform.substr(0, platform.size() - 3) : platform; }

/// The words in which variables are replaced; those of ARG and EXPOSE are seen to where they are carried out.
std::vector<std::string> expanded_words(const Meaning& meaning) {
  std::vector<std::string> all;
  const auto pairs = [&](const std::vector<KeyValue>& list) {
    for (const auto& [key, value] : list) all.insert(all.end(), {key, value});
  };
  if (const auto* env = std::get_if<instr::Env>(&meaning)) pairs(env->pairs);
  if (const auto* label = std::get_if<instr::Label>(&meaning)) pairs(label->pairs);
  if (const auto* one = std::get_if<instr::Workdir>(&meaning)) all.push_back(one->path);
  if (const auto* one = std::get_if<instr::User>(&meaning)) all.push_back(one->user);
  if (const auto* one = std::get_if<instr::Volume>(&meaning)) all = one->paths;
  if (const auto* one = std::get_if<instr::StopSignal>(&meaning)) all.push_back(one->signal);
  if (const auto* one = std::get_if<instr::Run>(&meaning)) all = one->mounts;
  if (const auto* copy = std::get_if<instr::Copy>(&meaning)) {
    all = copy->sources;
    all.insert(all.end(), {copy->destination, copy->chown, copy->chmod, copy->checksum});
  }
  return all;
}

/// One stage: what its instructions say about each other.
class StageScan {
 public:
  StageScan(const Dockerfile& file, const MetaInputs& inputs, const IgnoreRules* ignore, Findings& findings, Known& known)
      : file_(file), inputs_(inputs), ignore_(ignore), findings_(findings), known_(known) {}

  Result<> step(const Command& command) {
    where_ = command.span;
    typed_ = command.typed;
    if (const auto* arg = std::get_if<instr::Arg>(&command.meaning)) return arguments(*arg, command);
    for (const auto& word : expanded_words(command.meaning)) TRY(expanded(word));
    if (const auto* copy = std::get_if<instr::Copy>(&command.meaning)) return copied(*copy);
    if (const auto* run = std::get_if<instr::Run>(&command.meaning)) return mounted(*run);
    TRY(look(command));
    return apply_meta(known_.meta, command, inputs_);
  }

 private:
  void say(const char* rule, std::string message, bool experimental = false) { findings_.say(rule, std::move(message), where_, experimental); }

  /// A word with its variables replaced; those that nobody set are said.
  Result<std::string> expanded(const std::string& text, bool heredoc = false) {
    const auto values = known_.meta.lookup();
    std::set<std::string> unknown;
    auto result = expand_word(text, [&](const std::string& name) {
      auto value = values(name);
      const auto& args = known_.meta.args;
      if (!value && std::none_of(args.begin(), args.end(), [&](const instr::ArgItem& item) { return item.key == name; })) unknown.insert(name);
      return value;
    }, {.escape = file_.escape, .ignore_quotes = heredoc});
    std::vector<std::string> names;
    for (const auto& one : known_.meta.env) names.push_back(one.key);
    for (const auto& name : known_.whole ? unknown : std::set<std::string>{}) {
      const auto meant = closest_name(name, names);
      say("UndefinedVar", "Usage of undefined variable '$" + name + "'" + (meant.empty() ? "" : " (did you mean $" + meant + "?)"));
    }
    return result;
  }

  Result<> arguments(const instr::Arg& arg, const Command& command) {
    for (const auto& item : arg.items) {  // each sees those before it
      secret("ARG", item.key);
      if (item.value && (inputs_.args == nullptr || !inputs_.args->contains(item.key))) TRY(expanded(*item.value));
      Command one = command;
      one.meaning = instr::Arg{{item}};
      TRY(apply_meta(known_.meta, one, inputs_));
    }
    return {};
  }

  Result<> copied(const instr::Copy& copy) {
    for (const auto& heredoc : copy.heredocs)
      if (heredoc.expand) TRY(expanded(heredoc.content, true));
    if (!copy.from.empty() || ignore_ == nullptr) return {};
    for (const auto& source : copy.sources) {
      if (heredoc_word(source)) continue;
      ASSIGN_OR_RETURN(std::string path, expand_word(source, known_.meta.lookup(), {.escape = file_.escape}));
      if (path.find("://") != std::string::npos) continue;
      // As it is written: patterns begin at the context's root, "./a" and "/a" are none of them; a folder's name may end in '/'.
      const std::string shown = path;
      while (path.ends_with('/')) path.pop_back();
      if (!path.starts_with('.') && !path.starts_with('/') && ignore_->ignored(path))
        say("CopyIgnoredFile", std::string("Attempting to ") + (copy.add ? "Add" : "Copy") + " file \"" + shown + "\" that is excluded by .dockerignore", true);
    }
    return {};
  }

  Result<> mounted(const instr::Run& run) {
    for (const auto& text : run.mounts) {
      ASSIGN_OR_RETURN(const std::string mount, expand_word(text, known_.meta.lookup(), {.escape = file_.escape}));
      TRY(parse_run_mount(mount));
    }
    return {};
  }

  void secret(const char* instruction, const std::string& key) {
    if (sounds_secret(key)) say("SecretsUsedInArgOrEnv", std::string("Do not use ARG or ENV instructions for sensitive data (") + instruction + " \"" + key + "\")");
  }

  void once(std::optional<Span>& last) {
    if (last) findings_.say("MultipleInstructionsDisallowed", "Multiple " + typed_ + " instructions should not be used in the same stage because only the last one will be used", *last);
    last = where_;
  }

  void shell_form(const CommandLine& command) {
    if (command.shell && known_.meta.config.shell.empty() && known_.whole)
      say("JSONArgsRecommended", "JSON arguments recommended for " + typed_ + " to prevent unintended behavior related to OS signals");
  }

  /// ENV and LABEL in the form "KEY value".
  void old_form(const Command& command) {
    const auto words = split_quoted(std::string_view(command.original).substr(std::min(typed_.size(), command.original.size())), file_.escape);
    if (!words.empty() && words.front().find('=') == std::string::npos)
      say("LegacyKeyValueFormat", "\"" + typed_ + " key=value\" should be used instead of legacy \"" + typed_ + " key value\" format");
  }

  Result<> ports(const instr::Expose& expose) {
    for (const auto& word : expose.ports) {
      const auto all = expand_words(word, known_.meta.lookup(), {.escape = file_.escape});
      for (const auto& port : all ? *all : std::vector<std::string>{}) {
        const auto slash = port.find('/'), colon = port.rfind(':');
        if (slash != std::string::npos && port.substr(slash) != lower(port.substr(slash)))
          say("ExposeProtoCasing", "Defined protocol '" + port + "' in EXPOSE instruction should be lowercase");
        if (colon != std::string::npos && port.find_first_not_of(':') < colon)
          say("ExposeInvalidFormat", "EXPOSE instruction should not define an IP address or host-port mapping, found '" + port + "'");
      }
    }
    return {};
  }

  Result<> look(const Command& command) {
    if (const auto* one = std::get_if<instr::Cmd>(&command.meaning)) {
      once(cmd_);
      shell_form(one->command);
    } else if (const auto* entry = std::get_if<instr::Entrypoint>(&command.meaning)) {
      once(entrypoint_);
      shell_form(entry->command);
    } else if (std::holds_alternative<instr::Healthcheck>(command.meaning)) {
      once(healthcheck_);
    } else if (const auto* workdir = std::get_if<instr::Workdir>(&command.meaning)) {
      ASSIGN_OR_RETURN(const std::string path, expand_word(workdir->path, known_.meta.lookup(), {.escape = file_.escape}));
      if (!known_.workdir_set && !path.starts_with('/') && (known_.whole || !workdir->path.starts_with('$')))
        say("WorkdirRelativePath", "Relative workdir \"" + path + "\" can have unexpected results if the base image changes");
      known_.workdir_set = true;
    } else if (const auto* env = std::get_if<instr::Env>(&command.meaning)) {
      old_form(command);
      for (const auto& pair : env->pairs) {
        const auto key = expand_word(pair.key, known_.meta.lookup(), {.escape = file_.escape});
        secret("ENV", key ? *key : pair.key);
      }
    } else if (std::holds_alternative<instr::Label>(command.meaning)) {
      old_form(command);
    } else if (const auto* expose = std::get_if<instr::Expose>(&command.meaning)) {
      return ports(*expose);
    }
    return {};
  }

  const Dockerfile& file_;
  const MetaInputs& inputs_;
  const IgnoreRules* ignore_;
  Findings& findings_;
  Known& known_;
  Span where_;
  std::string typed_;
  std::optional<Span> cmd_, entrypoint_, healthcheck_;
};

/// What the base of a stage runs in it first (ONBUILD), at the line of its FROM. A bad one is an error when it is built.
std::vector<Command> triggers(const std::vector<std::string>& texts, const Dockerfile& file, const Span& where) {
  std::vector<Command> commands;
  for (const auto& text : texts) {
    Span ignored;
    const auto inner = parse_dockerfile("onbuild", text, ignored);
    for (const auto& instruction : inner ? inner->instructions : std::vector<Instruction>{}) {
      auto command = understand(instruction, file.escape);
      if (!command) continue;
      command->span = where;
      commands.push_back(std::move(*command));
    }
  }
  return commands;
}

}  // namespace

Result<> check_stages(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckInputs& inputs, Findings& findings, Span& where) {
  const auto wanted = [&](const Stage& stage) { return inputs.every_stage || plan.needed[stage.index]; };
  std::map<std::size_t, Known> known;
  for (const auto& stage : plan.stages) {  // all base images first, as BuildKit
    if (!wanted(stage) || stage.base_stage) continue;
    where = stage.span;
    Known& begun = known[stage.index];
    begun.meta = scratch_meta(inputs.platform);
    if (stage.base == "scratch" && !options.contexts.contains("scratch")) continue;
    std::optional<images::ImageConfig> config;
    if (inputs.base) {
      ASSIGN_OR_RETURN(config, inputs.base(stage));
    }
    begun.whole = config.has_value();
    if (!config) continue;
    const std::string expected = stage.platform.empty() ? inputs.platform : stage.platform;
    if (!config->architecture.empty() && os_and_architecture(expected) != os_and_architecture(config->platform()))
      findings.say("InvalidBaseImagePlatform", "Base image " + stage.base + " was pulled with platform \"" + short_platform(config->platform()) + "\", expected \"" +
                                                   short_platform(expected) + "\" for current build", stage.span);
    begun.meta = {};
    begun.meta.config = std::move(*config);
    begun.meta.begin_stage();
  }
  const MetaInputs meta{.plan = &plan, .args = &options.args, .platform_args = &options.platform_args};
  for (const auto& stage : plan.stages) {
    if (!wanted(stage)) continue;
    where = stage.span;
    if (stage.base_stage) {
      known[stage.index] = known[*stage.base_stage];
      known[stage.index].meta.begin_stage();
    }
    Known& one = known[stage.index];
    one.meta.escape = file.escape;
    StageScan scan(file, meta, inputs.ignore, findings, one);
    auto commands = triggers(std::exchange(one.meta.config.on_build, {}), file, stage.span);
    commands.insert(commands.end(), stage.commands.begin(), stage.commands.end());
    for (const auto& command : commands) {
      where = command.span;
      // Without the base's variables something like "${X:?}" is no error yet.
      if (auto done = scan.step(command); !done && one.whole) return done;
    }
  }
  where = {};
  return {};
}

}  // namespace engine::build
