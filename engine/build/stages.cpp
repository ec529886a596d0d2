#include "engine/build/stages.h"

#include "engine/build/words.h"

namespace engine::build {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::string shown_always(const Stage& stage) {
  return stage.name.empty() ? "stage-" + std::to_string(stage.index) : stage.name;
}

std::optional<std::string> in(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto found = map.find(key);
  if (found == map.end()) return std::nullopt;
  return found->second;
}

/// Values of the ARGs before the first FROM; each sees those above it.
Result<> resolve_globals(StagePlan& plan, const std::vector<Command>& commands, const StageOptions& options, Span& where,
                         char escape) {
  std::map<std::string, std::string> seen = options.platform_args;
  for (const auto& command : commands) {
    where = command.span;
    for (auto item : std::get<instr::Arg>(command.meaning).items) {
      if (const auto given = in(options.args, item.key)) {
        item.value = given;
      } else if (item.value) {
        ASSIGN_OR_RETURN(item.value, expand_word(*item.value, [&](const std::string& key) { return in(seen, key); }, {.escape = escape}));
      } else {
        item.value = in(options.platform_args, item.key);
      }
      if (item.value) seen[item.key] = *item.value;
      plan.globals.push_back(std::move(item));
    }
  }
  return {};
}

bool is_number(const std::string& text) { return !text.empty() && text.size() <= 6 && text.find_first_not_of("0123456789") == std::string::npos; }

struct Need {
  std::string from;
  bool copy = false;  ///< COPY --from: numbers name stages
};

/// Variables are refused in --from: which stages are needed must be known before anything runs.
Result<> note_need(const StagePlan& plan, Stage& stage, const Need& need, const StageOptions& options) {
  const std::string& from = need.from;
  if (from.empty() || options.contexts.contains(context_name(from))) return {};
  if (from.find('$') != std::string::npos)
    return invalid(need.copy ? "variable expansion is not supported for --from, define a new stage with FROM using ARG from global scope as a workaround"
                             : "'from' doesn't support variable expansion, define alias stage instead");
  if (need.copy && is_number(from) && std::stoul(from) >= plan.stages.size()) return invalid("invalid stage index " + from);
  const auto other = find_stage(plan, from);
  if (!other || (!need.copy && plan.stages[*other].name != lower(from))) return {};
  if (*other == stage.index) return invalid("circular dependency detected on stage: " + shown_always(stage));
  stage.needs.push_back(*other);
  if (*other > stage.index && stage.late_need.empty()) {
    stage.late_need = need.copy ? "cannot copy from stage \"" + from + "\", it needs to be defined before current stage \"" + shown_always(stage) + "\""
                                : "cannot mount from stage \"" + from + "\", stage needs to be defined before current command";
  }
  return {};
}

/// The commands of a stage, after those that its base stage left for it (ONBUILD).
std::vector<Command> with_triggers(const StagePlan& plan, const Stage& stage, char escape) {
  std::vector<Command> commands;
  for (const auto& command : stage.base_stage ? plan.stages[*stage.base_stage].commands : std::vector<Command>{}) {
    const auto* trigger = std::get_if<instr::OnBuild>(&command.meaning);
    if (trigger == nullptr) continue;
    Span ignored;
    const auto file = parse_dockerfile("onbuild", trigger->trigger, ignored);
    for (const auto& instruction : file ? file->instructions : std::vector<Instruction>{})
      if (auto meaning = understand(instruction, escape)) {  // a bad one is an error when it runs
        meaning->span = stage.span;
        commands.push_back(std::move(*meaning));
      }
  }
  commands.insert(commands.end(), stage.commands.begin(), stage.commands.end());
  return commands;
}

Result<> note_needs(const StagePlan& plan, Stage& stage, const StageOptions& options, char escape, Span& where) {
  for (const auto& command : with_triggers(plan, stage, escape)) {
    where = command.span;
    const bool late = !stage.late_need.empty();
    if (const auto* copy = std::get_if<instr::Copy>(&command.meaning)) {
      TRY(note_need(plan, stage, {.from = copy->from, .copy = true}, options));
    } else if (const auto* run = std::get_if<instr::Run>(&command.meaning)) {
      for (const auto& text : run->mounts) {
        const std::size_t at = ("," + text).find(",from=");
        if (at == std::string::npos) continue;
        const std::size_t start = at + 5;
        TRY(note_need(plan, stage, {.from = text.substr(start, text.find(',', start) - start), .copy = false}, options));
      }
    }
    if (!late && !stage.late_need.empty()) stage.late_span = command.span;
  }
  return {};
}

/// Images named in COPY --from and RUN --mount count as stages in BuildKit: with one of them even a lone stage shows its name.
bool has_unnamed_sources(const StagePlan& plan) {
  for (const auto& stage : plan.stages)
    for (const auto& command : stage.commands) {
      const auto* run = std::get_if<instr::Run>(&command.meaning);
      const auto* copy = std::get_if<instr::Copy>(&command.meaning);
      if ((run != nullptr && !run->mounts.empty()) || (copy != nullptr && !copy->from.empty() && !find_stage(plan, copy->from))) return true;
    }
  return false;
}

Result<> resolve_base(StagePlan& plan, Stage& stage, const StageOptions& options, char escape) {
  std::map<std::string, std::string> values = options.platform_args;
  for (const auto& item : plan.globals)
    if (item.value) values[item.key] = *item.value;
  const Lookup lookup = [&](const std::string& key) { return in(values, key); };
  ASSIGN_OR_RETURN(stage.base, expand_word(stage.from.image, lookup, {.escape = escape}));
  if (stage.base.empty()) return invalid("base name (" + stage.from.image + ") should not be blank");
  ASSIGN_OR_RETURN(stage.platform, expand_word(stage.from.platform, lookup, {.escape = escape}));
  if (!stage.from.platform.empty() && stage.platform.empty())
    return invalid("empty platform value from expression " + stage.from.platform);
  if (!stage.platform.empty()) {
    const auto build = options.platform_args.find("BUILDPLATFORM");
    ASSIGN_OR_RETURN(stage.platform, normal_platform(stage.platform, build == options.platform_args.end() ? "linux/amd64" : build->second));
  }
  if (options.contexts.contains(context_name(stage.base))) return {};
  for (std::size_t i = stage.index; i-- > 0;) {
    // As written: stage names are kept in lower case, and a base in another case is an image.
    if (plan.stages[i].name.empty() || plan.stages[i].name != stage.base) continue;
    stage.base_stage = i;
    stage.needs.push_back(i);
    break;
  }
  return {};
}

/// Depth-first from `index`: whether a stage needs itself.
bool has_cycle(const StagePlan& plan, std::size_t index, std::vector<int>& state) {
  if (state[index] != 0) return state[index] == 1;
  state[index] = 1;
  const auto& needs = plan.stages[index].needs;
  const bool found = std::any_of(needs.begin(), needs.end(), [&](std::size_t other) { return has_cycle(plan, other, state); });
  state[index] = 2;
  return found;
}

/// Of all stages, those the target does not need too.
Result<> refuse_cycles(const StagePlan& plan) {
  std::vector<int> state(plan.stages.size(), 0);
  for (const auto& stage : plan.stages)
    if (has_cycle(plan, stage.index, state)) return invalid("circular dependency detected on stage: " + shown_always(stage));
  return {};
}

void mark(StagePlan& plan, std::size_t index) {
  if (plan.needed[index]) return;
  plan.needed[index] = true;
  for (const std::size_t other : plan.stages[index].needs) mark(plan, other);
}

Result<> choose_target(StagePlan& plan, const std::string& target) {
  plan.target = plan.stages.size() - 1;
  if (target.empty()) return {};
  for (std::size_t i = plan.stages.size(); i-- > 0;) {
    if (plan.stages[i].name != lower(target)) continue;
    plan.target = i;
    return {};
  }
  return invalid("target stage \"" + target + "\" could not be found");
}

}  // namespace

std::optional<std::size_t> find_stage(const StagePlan& plan, const std::string& name) {
  const std::string wanted = lower(name);
  if (wanted.empty()) return std::nullopt;
  for (std::size_t i = plan.stages.size(); i-- > 0;)  // of several with one name the last, wherever it is asked for
    if (plan.stages[i].name == wanted) return i;
  if (!is_number(wanted)) return std::nullopt;
  const std::size_t number = std::stoul(wanted);
  return number < plan.stages.size() ? std::optional(number) : std::nullopt;
}

std::map<std::string, std::string> platform_arguments(const std::string& target, const std::string& build) {
  std::map<std::string, std::string> args;
  for (const auto& [prefix, platform] : {std::pair<std::string, std::string>("TARGET", target), {"BUILD", build}}) {
    std::string rest = platform;
    args[prefix + "PLATFORM"] = platform;
    for (const char* part : {"OS", "ARCH", "VARIANT"}) {
      const std::size_t slash = rest.find('/');
      args[prefix + part] = rest.substr(0, slash);
      rest = slash == std::string::npos ? "" : rest.substr(slash + 1);
    }
  }
  return args;
}

Result<std::string> normal_platform(const std::string& text, const std::string& host) {
  const base::Error bad = invalid("failed to parse platform " + text + ": \"" + text + "\": cannot parse platform specifier: invalid argument");
  std::vector<std::string> parts(1);
  for (const char c : lower(text)) {
    if (c == '/') parts.emplace_back();
    else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.') parts.back() += c;
    else return bad;
  }
  if (parts.size() > 3 || std::any_of(parts.begin(), parts.end(), [](const auto& part) { return part.empty() || part.front() == '.'; })) return bad;
  static const std::set<std::string> systems = {"linux", "windows", "darwin", "freebsd", "macos", "netbsd", "openbsd", "wasip1"};
  if (parts.size() == 1 && systems.contains(parts[0])) {  // this machine's architecture
    const std::size_t slash = host.find('/');
    if (slash != std::string::npos) return parts[0] + host.substr(slash);
  }
  if (parts.size() == 1) parts.insert(parts.begin(), "linux");
  static const std::map<std::string, std::pair<std::string, std::string>> names = {
      {"x86_64", {"amd64", ""}}, {"x86-64", {"amd64", ""}}, {"aarch64", {"arm64", ""}}, {"i386", {"386", ""}}, {"armhf", {"arm", "v7"}}, {"armel", {"arm", "v6"}}};
  if (const auto known = names.find(parts[1]); known != names.end()) {
    parts[1] = known->second.first;
    if (parts.size() == 2 && !known->second.second.empty()) parts.push_back(known->second.second);
  }
  if (parts[1] == "arm" && parts.size() == 2) parts.emplace_back("v7");
  std::string result = parts[0] + "/" + parts[1];
  if (parts.size() == 3 && !(parts[1] == "amd64" && parts[2] == "v1")) result += "/" + parts[2];
  return result;
}

std::string context_name(const std::string& name) {
  const auto reference = images::parse_reference(name);
  if (!reference || reference->full().empty()) return lower(name);
  std::string familiar = reference->familiar();
  if (familiar.ends_with(":latest")) familiar.resize(familiar.size() - 7);
  return familiar;
}

bool fits_platform(const std::string& have, const std::string& wanted) {
  return have == wanted || wanted.starts_with(have + "/") || have.starts_with(wanted + "/");
}

std::string os_and_architecture(const std::string& platform) {
  const auto first = platform.find('/');
  return platform.substr(0, first == std::string::npos ? first : platform.find('/', first + 1));
}

Result<images::Reference> parse_base(const std::string& name) {
  return images::parse_reference(name).with("failed to parse stage name \"" + name + "\"");
}

bool is_proxy_argument(const std::string& name) {
  static const std::set<std::string> names = {"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"};
  return names.contains(name) || (names.contains(upper(name)) && name == lower(name));
}

namespace {

/// Instructions with their meaning: those before the first FROM to `globals`, the others to their stages.
Result<> read_stages(const Dockerfile& file, StagePlan& plan, std::vector<Command>& globals, Span& where) {
  for (const auto& instruction : file.instructions) {
    where = instruction.span;
    auto command = understand(instruction, file.escape);
    if (!command) {
      auto error = std::move(command).error();
      error.context.push_back("dockerfile parse error on line " + std::to_string(instruction.span.first));
      return error;
    }
    if (auto* from = std::get_if<instr::From>(&command->meaning)) {
      Stage stage;
      stage.index = plan.stages.size();
      stage.name = from->name;
      stage.from = *from;
      stage.span = command->span;
      stage.original = command->original;
      plan.stages.push_back(std::move(stage));
    } else if (plan.stages.empty()) {
      if (!std::holds_alternative<instr::Arg>(command->meaning))
        return invalid("dockerfile parse error on line " + std::to_string(instruction.span.first) + ": no build stage in current context");
      globals.push_back(std::move(*command));
    } else {
      plan.stages.back().commands.push_back(std::move(*command));
    }
  }
  where = {};
  if (plan.stages.empty()) return invalid("no build stage in current context: the Dockerfile has no FROM");
  return {};
}

Result<> plan_into(const Dockerfile& file, const StageOptions& options, Span& where, StagePlan& plan) {
  std::vector<Command> globals;
  TRY(read_stages(file, plan, globals, where));
  TRY(resolve_globals(plan, globals, options, where, file.escape));
  for (auto& stage : plan.stages) {
    where = stage.span;
    TRY(resolve_base(plan, stage, options, file.escape));
  }
  for (auto& stage : plan.stages) TRY(note_needs(plan, stage, options, file.escape, where));
  const bool alone = plan.stages.size() == 1 && !has_unnamed_sources(plan);
  for (auto& stage : plan.stages) stage.shown = alone ? "" : shown_always(stage);
  where = {};
  TRY(choose_target(plan, options.target));
  TRY(refuse_cycles(plan));
  plan.needed.assign(plan.stages.size(), false);
  mark(plan, plan.target);
  for (const auto& stage : plan.stages) {
    if (!plan.needed[stage.index] || stage.late_need.empty()) continue;
    where = stage.late_span;
    return invalid(stage.late_need);
  }
  return {};
}

}  // namespace

Result<StagePlan> plan_stages(const Dockerfile& file, const StageOptions& options, Span& where, StagePlan* partial) {
  StagePlan plan;
  auto planned = plan_into(file, options, where, plan);
  if (planned) return plan;
  if (partial != nullptr) *partial = std::move(plan);
  return std::move(planned).error();
}

}  // namespace engine::build
