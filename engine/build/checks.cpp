#include "engine/build/checks.h"

#include <algorithm>
#include <map>

#include "engine/build/words.h"
#include "engine/images/reference.h"

namespace engine::build {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::vector<std::string> listed(std::string_view text) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t comma = text.find(',');
    parts.emplace_back(trim(text.substr(0, comma)));
    if (comma == std::string_view::npos) return parts;
    text = text.substr(comma + 1);
  }
}

/// The first word of the line an instruction starts on: the keyword as it was typed.
std::string typed_keyword(const Dockerfile& file, const Span& where) {
  if (where.first <= 0 || static_cast<std::size_t>(where.first) > file.lines.size()) return "";
  const auto words = split_blank(file.lines[static_cast<std::size_t>(where.first - 1)]);
  return words.empty() ? "" : words.front();
}

bool is_one_case(const std::string& word) { return word == lower(word) || word == upper(word); }

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

class Checker {
 public:
  Checker(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckOptions& checks, const IgnoreRules* ignore)
      : file_(file), plan_(plan), options_(options), checks_(checks), ignore_(ignore) {}

  std::vector<Finding> run() {
    casing();
    continuations();
    names();
    for (const auto& stage : plan_.stages) {
      base(stage);
      commands(stage);
    }
    descriptions();
    std::stable_sort(found_.begin(), found_.end(), [](const Finding& a, const Finding& b) { return a.where.first < b.where.first; });
    return std::move(found_);
  }

 private:
  void say(const std::string& rule, std::string message, const Span& where, bool experimental = false) {
    if (experimental ? !checks_.experimental_all && !checks_.experimental.contains(rule) : checks_.skip_all || checks_.skip.contains(rule)) return;
    found_.push_back({rule, std::move(message), where});
  }

  void casing() {
    int lower_count = 0, upper_count = 0;
    for (const auto& instruction : file_.instructions) {
      const std::string word = typed_keyword(file_, instruction.span);
      if (!is_one_case(word)) continue;
      (word == lower(word) ? lower_count : upper_count) += 1;
    }
    const bool want_lower = lower_count > upper_count;
    for (const auto& instruction : file_.instructions) {
      const std::string word = typed_keyword(file_, instruction.span);
      if (instruction.keyword == "ARG" && &instruction < first_from()) continue;  // before the stages nothing is compared
      if (word == (want_lower ? lower(word) : upper(word))) continue;
      say("ConsistentInstructionCasing", "Command '" + word + "' should match the case of the command majority (" + (want_lower ? "lowercase" : "uppercase") + ")",
          instruction.span);
    }
  }

  [[nodiscard]] const Instruction* first_from() const {
    for (const auto& instruction : file_.instructions)
      if (instruction.keyword == "FROM") return &instruction;
    return file_.instructions.data() + file_.instructions.size();
  }

  /// An empty line inside a continued instruction.
  void continuations() {
    for (const auto& instruction : file_.instructions) {
      if (!instruction.heredocs.empty()) continue;
      for (int line = instruction.span.first + 1; line <= instruction.span.last; ++line) {
        if (!trim(file_.lines[static_cast<std::size_t>(line - 1)]).empty()) continue;
        say("NoEmptyContinuation", "Empty continuation line", {instruction.span.last, instruction.span.last, 0});
        break;
      }
    }
  }

  /// The last comment line right above a line, without its sign; "" = none, or a directive.
  [[nodiscard]] std::string comment_above(int line) const {
    if (line < 2) return "";
    const std::string_view above = trim(file_.lines[static_cast<std::size_t>(line - 2)]);
    if (!above.starts_with('#')) return "";
    const std::string text(trim(above.substr(1)));
    const auto name = lower(trim(text.substr(0, text.find('='))));
    return text.find('=') != std::string::npos && (name == "syntax" || name == "escape" || name == "check") ? "" : text;
  }

  /// Comments that are descriptions begin with the name of what they describe.
  void descriptions() {
    const auto check = [&](const char* keyword, const std::vector<std::string>& keys, const Span& where) {
      const auto text = comment_above(where.first);
      if (text.empty() || keys.empty() || std::find(keys.begin(), keys.end(), text.substr(0, text.find(' '))) != keys.end()) return;
      say("InvalidDefinitionDescription", std::string("Comment for ") + keyword + " should follow the format: `# " + (keys.size() > 1 ? "<arg_key>" : keys.front()) + " <description>`", where, true);
    };
    for (const auto& stage : plan_.stages)
      if (!stage.name.empty()) check("FROM", {stage.name}, stage.span);
    for (const auto& instruction : file_.instructions) {
      if (instruction.keyword != "ARG") continue;
      const auto command = understand(instruction, file_.escape);
      const auto* arg = command ? std::get_if<instr::Arg>(&command->meaning) : nullptr;
      std::vector<std::string> keys;
      for (const auto& item : arg != nullptr ? arg->items : std::vector<instr::ArgItem>{}) keys.push_back(item.key);
      check("ARG", keys, instruction.span);
    }
  }

  void names() {
    std::set<std::string> seen;
    for (const auto& stage : plan_.stages) {
      const auto words = split_blank(stage.original);
      const std::string keyword = typed_keyword(file_, stage.span);
      if (words.size() < 4 || stage.name.empty()) continue;
      const std::string &as = words[words.size() - 2], &name = words.back();
      if (name != lower(name)) say("StageNameCasing", "Stage name '" + name + "' should be lowercase", stage.span);
      if (is_one_case(keyword) && as != (keyword == lower(keyword) ? lower(as) : upper(as)))
        say("FromAsCasing", "'" + as + "' and '" + keyword + "' keywords' casing do not match", stage.span);
      if (stage.name == "scratch" || stage.name == "context")
        say("ReservedStageName", "Stage name should not use the same name as reserved stage \"" + stage.name + "\"", stage.span);
      if (!seen.insert(stage.name).second)
        say("DuplicateStageName", "Duplicate stage name \"" + stage.name + "\", stage names should be unique", stage.span);
    }
  }

  void base(const Stage& stage) {
    std::map<std::string, std::string> given = options_.platform_args, defaults = options_.platform_args;
    std::set<std::string> declared;
    for (const auto& item : plan_.globals) {
      declared.insert(item.key);
      if (item.value) given[item.key] = *item.value;
    }
    for (const auto& [key, value] : default_globals()) defaults[key] = value;
    std::set<std::string> unknown, used;
    const Lookup lookup = [&](const std::string& key) -> std::optional<std::string> {
      const auto found = given.find(key);
      if (found == given.end() && !declared.contains(key)) unknown.insert(key);
      used.insert(key);
      return found == given.end() ? std::nullopt : std::optional(found->second);
    };
    (void)expand_word(stage.from.image, lookup, {.escape = file_.escape});
    used.clear();
    const auto platform = expand_word(stage.from.platform, lookup, {.escape = file_.escape});
    for (const auto& key : unknown) say("UndefinedArgInFrom", "FROM argument '" + key + "' is not declared", stage.span);
    if (!stage.from.platform.empty() && platform) {
      if (used == std::set<std::string>{"TARGETPLATFORM"} && *platform == given["TARGETPLATFORM"])
        say("RedundantTargetPlatform", "Setting platform to predefined " + stage.from.platform + " in FROM is redundant as this is the default behavior", stage.span);
      const auto slash = platform->find('/');
      const auto arch = slash == std::string::npos ? *platform : platform->substr(slash + 1);
      if (used.empty() && stage.name.find(platform->substr(0, slash)) == std::string::npos && stage.name.find(arch.substr(0, arch.find('/'))) == std::string::npos)
        say("FromPlatformFlagConstDisallowed", "FROM --platform flag should not use constant value \"" + *platform + "\"", stage.span);
    }
    const auto by_default = expand_word(stage.from.image, [&](const std::string& key) -> std::optional<std::string> {
      const auto found = defaults.find(key);
      return found == defaults.end() ? std::nullopt : std::optional(found->second);
    }, {.escape = file_.escape});
    if (by_default && !images::parse_reference(*by_default))
      say("InvalidDefaultArgInFrom", "Default value for ARG " + stage.from.image + " results in empty or invalid base image name", stage.span);
  }

  /// Values of the global ARGs when nobody gives any.
  [[nodiscard]] std::map<std::string, std::string> default_globals() const {
    std::map<std::string, std::string> values = options_.platform_args;
    for (const auto& instruction : file_.instructions) {
      if (instruction.keyword == "FROM") break;
      const auto command = understand(instruction, file_.escape);
      const auto* arg = command ? std::get_if<instr::Arg>(&command->meaning) : nullptr;
      for (const auto& item : arg != nullptr ? arg->items : std::vector<instr::ArgItem>{}) {
        if (!item.value) continue;
        const auto value = expand_word(*item.value, [&](const std::string& key) -> std::optional<std::string> {
          const auto found = values.find(key);
          return found == values.end() ? std::nullopt : std::optional(found->second);
        }, {.escape = file_.escape});
        if (value) values[item.key] = *value;
      }
    }
    return values;
  }

  void once(std::optional<Span>& last, const char* name, const Span& where) {
    if (last) say("MultipleInstructionsDisallowed", std::string("Multiple ") + name + " instructions should not be used in the same stage because only the last one will be used", *last);
    last = where;
  }

  void shell_form(const CommandLine& command, const char* name, bool has_shell, const Span& where) {
    if (command.shell && !has_shell)
      say("JSONArgsRecommended", std::string("JSON arguments recommended for ") + name + " to prevent unintended behavior related to OS signals", where);
  }

  /// ENV and LABEL in the form "KEY value".
  void old_form(const Command& command, const char* name) {
    const auto words = split_blank(command.original);
    if (words.size() > 1 && words[1].find('=') == std::string::npos)
      say("LegacyKeyValueFormat", std::string("\"") + name + " key=value\" should be used instead of legacy \"" + name + " key value\" format", command.span);
  }

  void secret(const char* instruction, const std::string& key, const Span& where) {
    if (sounds_secret(key)) say("SecretsUsedInArgOrEnv", std::string("Do not use ARG or ENV instructions for sensitive data (") + instruction + " \"" + key + "\")", where);
  }

  void ports(const instr::Expose& expose, const Span& where) {
    for (const auto& port : expose.ports) {
      const auto slash = port.find('/');
      if (slash != std::string::npos && port.substr(slash) != lower(port.substr(slash)))
        say("ExposeProtoCasing", "Defined protocol '" + port + "' in EXPOSE instruction should be lowercase", where);
      if (port.find(':') != std::string::npos)
        say("ExposeInvalidFormat", "EXPOSE instruction should not define an IP address or host-port mapping, found '" + port + "'", where);
    }
  }

  void commands(const Stage& stage) {
    std::optional<Span> cmd, entrypoint, healthcheck;
    bool workdir_known = stage.base_stage && sets_workdir(*stage.base_stage), has_shell = false;
    for (const auto& command : stage.commands) {
      const Span& where = command.span;
      if (const auto* one = std::get_if<instr::Cmd>(&command.meaning)) {
        once(cmd, "CMD", where);
        shell_form(one->command, "CMD", has_shell, where);
      } else if (const auto* entry = std::get_if<instr::Entrypoint>(&command.meaning)) {
        once(entrypoint, "ENTRYPOINT", where);
        shell_form(entry->command, "ENTRYPOINT", has_shell, where);
      } else if (std::holds_alternative<instr::Healthcheck>(command.meaning)) {
        once(healthcheck, "HEALTHCHECK", where);
      } else if (std::holds_alternative<instr::Shell>(command.meaning)) {
        has_shell = true;
      } else if (std::holds_alternative<instr::Maintainer>(command.meaning)) {
        say("MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label", where);
      } else if (const auto* workdir = std::get_if<instr::Workdir>(&command.meaning)) {
        if (!workdir_known && !workdir->path.starts_with('/') && !workdir->path.starts_with('$'))
          say("WorkdirRelativePath", "Relative workdir \"" + workdir->path + "\" can have unexpected results if the base image changes", where);
        workdir_known = true;
      } else if (const auto* env = std::get_if<instr::Env>(&command.meaning)) {
        old_form(command, "ENV");
        for (const auto& pair : env->pairs) secret("ENV", pair.key, where);
      } else if (std::holds_alternative<instr::Label>(command.meaning)) {
        old_form(command, "LABEL");
      } else if (const auto* arg = std::get_if<instr::Arg>(&command.meaning)) {
        for (const auto& item : arg->items) secret("ARG", item.key, where);
      } else if (const auto* expose = std::get_if<instr::Expose>(&command.meaning)) {
        ports(*expose, where);
      } else if (const auto* copy = std::get_if<instr::Copy>(&command.meaning); copy != nullptr && copy->from.empty() && ignore_ != nullptr) {
        for (const auto& source : copy->sources)
          if (ignore_->ignored(clean_path("/" + source).substr(1)))
            say("CopyIgnoredFile", std::string("Attempting to ") + (copy->add ? "Add" : "Copy") + " file \"" + source + "\" that is excluded by .dockerignore", where, true);
      }
    }
  }

  [[nodiscard]] bool sets_workdir(std::size_t index) const {
    const auto& stage = plan_.stages[index];
    if (std::any_of(stage.commands.begin(), stage.commands.end(), [](const Command& one) { return std::holds_alternative<instr::Workdir>(one.meaning); })) return true;
    return stage.base_stage && sets_workdir(*stage.base_stage);
  }

  const Dockerfile& file_;
  const StagePlan& plan_;
  const StageOptions& options_;
  const CheckOptions& checks_;
  const IgnoreRules* ignore_;
  std::vector<Finding> found_;
};

}  // namespace

Result<CheckOptions> CheckOptions::parse(const std::string& text) {
  CheckOptions options;
  std::string_view rest = trim(text);
  while (!rest.empty()) {
    const std::size_t end = rest.find(';');
    const std::string part(rest.substr(0, end));
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end + 1);
    const std::size_t equals = part.find('=');
    if (equals == std::string::npos) return invalid("failed to parse check options: invalid check option \"" + part + "\"");
    const std::string key(trim(std::string_view(part).substr(0, equals))), value(trim(std::string_view(part).substr(equals + 1)));
    if (key == "error") {
      const std::string word = lower(value);
      if (word != "true" && word != "false" && word != "1" && word != "0" && word != "t" && word != "f")
        return invalid("failed to parse check options: failed to parse check option \"" + part + "\"");
      options.fail = word[0] == 't' || word == "1";
    } else if (key == "skip" || key == "experimental") {
      (key == "skip" ? options.skip_all : options.experimental_all) = value == "all";
      if (value != "all")
        for (auto& rule : listed(value)) (key == "skip" ? options.skip : options.experimental).insert(std::move(rule));
    } else {
      return invalid("failed to parse check options: invalid check option \"" + key + "\"");
    }
  }
  return options;
}

std::vector<Finding> check_dockerfile(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckOptions& checks,
                                      const IgnoreRules* ignore, const BaseVariables& base) {
  auto found = Checker(file, plan, options, checks, ignore).run();
  if (checks.skip_all || checks.skip.contains("UndefinedVar")) return found;
  auto more = undefined_variables(file, plan, base);
  found.insert(found.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
  std::stable_sort(found.begin(), found.end(), [](const Finding& a, const Finding& b) { return a.where.first < b.where.first; });
  return found;
}

std::string finding_text(const Finding& finding) {
  return finding.rule + ": " + finding.message + (finding.where.first > 0 ? " (line " + std::to_string(finding.where.first) + ")" : "");
}

}  // namespace engine::build
