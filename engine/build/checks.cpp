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

bool is_one_case(const std::string& word) { return word == lower(word) || word == upper(word); }

/// What is said of the file's text before anything is looked up.
class Checker {
 public:
  Checker(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, Findings& findings)
      : file_(file), plan_(plan), options_(options), findings_(findings) {}

  void run() {
    continuations();
    instructions(0);
    names();
    casing();
    for (const auto& stage : plan_.stages) base(stage);
  }
  /// Of a file with an error on line `until`.
  void run_until(int until) {
    continuations();
    instructions(until);
  }

 private:
  void say(const std::string& rule, std::string message, const Span& where, bool experimental = false) {
    findings_.say(rule, std::move(message), where, experimental);
  }

  void casing() {
    int lower_count = 0, upper_count = 0;
    for (const auto& instruction : file_.instructions) {
      const std::string& word = instruction.typed;
      if (!is_one_case(word) || &instruction < first_from()) continue;  // before the stages nothing is compared
      (word == lower(word) ? lower_count : upper_count) += 1;
    }
    const bool want_lower = lower_count > upper_count;
    for (const auto& instruction : file_.instructions) {
      const std::string& word = instruction.typed;
      if (&instruction < first_from() || word == (want_lower ? lower(word) : upper(word))) continue;
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

  /// The last comment above a line, whatever empty lines are between, without its sign; "" = none, or a directive.
  [[nodiscard]] std::string comment_above(int line) const {
    for (int above = line - 1; above > 0; --above) {
      const std::string_view one = trim(file_.lines[static_cast<std::size_t>(above - 1)]);
      if (one.empty()) continue;
      if (!one.starts_with('#')) return "";
      const std::string text(trim(one.substr(1)));
      const auto name = lower(trim(text.substr(0, text.find('='))));
      return text.find('=') != std::string::npos && (name == "syntax" || name == "escape" || name == "check") ? "" : text;
    }
    return "";
  }

  /// Comments that are descriptions begin with the name of what they describe.
  void description(const char* keyword, const std::vector<std::string>& keys, const Span& where) {
    const auto text = comment_above(where.first);
    if (text.empty() || keys.empty() || std::find(keys.begin(), keys.end(), text.substr(0, text.find(' '))) != keys.end()) return;
    say("InvalidDefinitionDescription", std::string("Comment for ") + keyword + " should follow the format: `# " + (keys.size() > 1 ? "<arg_key>" : keys.front()) + " <description>`", where, true);
  }

  /// Each by itself, those above line `until` (0 = all).
  void instructions(int until) {
    for (const auto& instruction : file_.instructions) {
      if (until > 0 && instruction.span.first >= until) return;
      if (instruction.keyword == "MAINTAINER") say("MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label", instruction.span);
      if (instruction.keyword == "FROM") from(instruction);
      if (instruction.keyword != "ARG") continue;
      std::vector<std::string> keys;
      const auto command = understand(instruction, file_.escape);
      const auto* arg = command ? std::get_if<instr::Arg>(&command->meaning) : nullptr;
      for (const auto& item : arg != nullptr ? arg->items : std::vector<instr::ArgItem>{}) keys.push_back(item.key);
      description("ARG", keys, instruction.span);
    }
  }

  void from(const Instruction& instruction) {
    const auto words = split_blank(instruction.rest);
    if (words.size() != 3) return;
    const std::string &keyword = instruction.typed, &as = words[1], &name = words[2];
    if (name != lower(name)) say("StageNameCasing", "Stage name '" + name + "' should be lowercase", instruction.span);
    if (is_one_case(keyword) && as != (keyword == lower(keyword) ? lower(as) : upper(as)))
      say("FromAsCasing", "'" + as + "' and '" + keyword + "' keywords' casing do not match", instruction.span);
    description("FROM", {lower(name)}, instruction.span);
  }

  void names() {
    std::set<std::string> seen;
    for (const auto& stage : plan_.stages) {
      if (stage.name.empty()) continue;
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
    std::vector<std::string> keys(declared.begin(), declared.end());
    for (const auto& [key, value] : options_.platform_args) keys.push_back(key);
    for (const auto& key : unknown) {
      const auto meant = closest_name(key, keys);
      say("UndefinedArgInFrom", "FROM argument '" + key + "' is not declared" + (meant.empty() ? "" : " (did you mean " + meant + "?)"), stage.span);
    }
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

  const Dockerfile& file_;
  const StagePlan& plan_;
  const StageOptions& options_;
  Findings& findings_;
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
    if (equals == std::string::npos) return invalid("invalid check option \"" + part + "\"");
    const std::string key(trim(std::string_view(part).substr(0, equals))), value(trim(std::string_view(part).substr(equals + 1)));
    if (key == "error") {
      const auto word = parse_bool(value);
      if (!word) return invalid("failed to parse check option \"" + part + "\": strconv.ParseBool: parsing \"" + value + "\": invalid syntax");
      options.fail = *word;
    } else if (key == "skip" || key == "experimental") {
      (key == "skip" ? options.skip_all : options.experimental_all) = value == "all";
      if (value != "all")
        for (auto& rule : listed(value)) (key == "skip" ? options.skip : options.experimental).insert(std::move(rule));
    } else {
      return invalid("invalid check option \"" + key + "\"");
    }
  }
  return options;
}

void Findings::say(const std::string& rule, std::string message, const Span& where, bool experimental) {
  if (experimental ? !options_.experimental_all && !options_.experimental.contains(rule) : options_.skip_all || options_.skip.contains(rule)) return;
  found_.push_back({rule, std::move(message), where});
}

std::vector<Finding> Findings::sorted() && {
  std::stable_sort(found_.begin(), found_.end(), [](const Finding& a, const Finding& b) { return a.where.first < b.where.first; });
  return std::move(found_);
}

Checked check_dockerfile(const Dockerfile& file, const StagePlan& plan, const StageOptions& options, const CheckOptions& checks,
                         const CheckInputs& inputs) {
  Findings findings(checks);
  Checker(file, plan, options, findings).run();
  Checked checked;
  if (auto done = check_stages(file, plan, options, inputs, findings, checked.where); !done) checked.error = std::move(done).error();
  checked.findings = std::move(findings).sorted();
  return checked;
}

std::vector<Finding> check_unplanned(const Dockerfile& file, const StagePlan& stages, const StageOptions& options, const CheckOptions& checks, int until) {
  Findings findings(checks);
  Checker checker(file, stages, options, findings);
  if (until > 0) checker.run_until(until);
  else checker.run();
  return std::move(findings).sorted();
}

std::string finding_text(const Finding& finding) {
  return finding.rule + ": " + finding.message + (finding.where.first > 0 ? " (line " + std::to_string(finding.where.first) + ")" : "");
}

std::string rule_address(const std::string& rule) {
  if (rule == "InvalidBaseImagePlatform") return "";
  const auto capital = [&](std::size_t at) { return at < rule.size() && rule[at] >= 'A' && rule[at] <= 'Z'; };
  std::string words;
  for (std::size_t i = 0; i < rule.size(); ++i) {  // "JSONArgsRecommended" is "json-args-recommended"
    if (i > 0 && capital(i) && (!capital(i - 1) || (i + 1 < rule.size() && !capital(i + 1)))) words += '-';
    words += rule[i];
  }
  return "https://docs.docker.com/go/dockerfile/rule/" + lower(words) + "/";
}

}  // namespace engine::build
