#include "engine/build/instruction.h"

#include "engine/build/words.h"

namespace engine::build {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// Letters to change, add or take away (Levenshtein).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U)});
      diagonal = above;
    }
  }
  return row.back();
}

/// The flags of one instruction; every one must be asked for by name or it is unknown.
class Flags {
 public:
  static Result<Flags> parse(const Instruction& instruction, const std::set<std::string>& allowed) {
    Flags flags;
    for (const auto& flag : instruction.flags) {
      const std::size_t equals = flag.find('=');
      const std::string name = flag.substr(2, equals == std::string::npos ? std::string::npos : equals - 2);
      if (!allowed.contains(name)) {
        const auto meant = closest_name(name, {allowed.begin(), allowed.end()});
        return invalid("unknown flag: --" + name + (meant.empty() ? "" : " (did you mean " + meant + "?)"));
      }
      const bool repeatable = name == "mount" || name == "exclude";
      if (!repeatable && flags.values_.contains(name)) return invalid("duplicate flag specified: --" + name);
      std::optional<std::string> value;
      if (equals != std::string::npos) value = flag.substr(equals + 1);
      flags.values_[name].push_back(value);
    }
    return flags;
  }

  [[nodiscard]] Result<std::string> text(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return std::string();
    if (!found->second.front()) return invalid("missing a value on flag: " + name);
    return *found->second.front();
  }
  [[nodiscard]] Result<std::optional<bool>> boolean(const std::string& name) const {
    const auto found = values_.find(name);
    if (found == values_.end()) return std::optional<bool>();
    const std::string given = found->second.front().value_or("true"), word = lower(given);
    if (word == "true") return std::optional(true);
    if (word == "false") return std::optional(false);
    return invalid("expecting boolean value for flag --" + name + ", not: " + given);
  }
  [[nodiscard]] Result<std::vector<std::string>> list(const std::string& name) const {
    std::vector<std::string> texts;
    const auto found = values_.find(name);
    if (found == values_.end()) return texts;
    for (const auto& value : found->second) {
      if (!value) return invalid("missing a value on flag: " + name);
      texts.push_back(*value);
    }
    return texts;
  }
  [[nodiscard]] bool has(const std::string& name) const { return values_.contains(name); }

 private:
  std::map<std::string, std::vector<std::optional<std::string>>> values_;
};

struct Source {
  const Instruction& instruction;
  char escape;
};

Result<> no_flags(const Source& source) {
  TRY(Flags::parse(source.instruction, {}));
  return {};
}

Result<CommandLine> command_line(const std::string& rest) {
  ASSIGN_OR_RETURN(auto words, parse_exec_form(rest));
  if (words) return CommandLine{.shell = false, .words = std::move(*words)};
  CommandLine command{.shell = true, .words = {}};
  if (!rest.empty()) command.words.push_back(rest);
  return command;
}

Result<Meaning> parse_from(const Source& source) {
  ASSIGN_OR_RETURN(const Flags flags, Flags::parse(source.instruction, {"platform"}));
  instr::From from;
  ASSIGN_OR_RETURN(from.platform, flags.text("platform"));
  const auto words = split_blank(source.instruction.rest);
  if (words.size() != 1 && !(words.size() == 3 && lower(words[1]) == "as"))
    return invalid("FROM requires either one or three arguments");
  from.image = words[0];
  if (words.size() == 1) return Meaning(from);
  from.name = lower(words[2]);
  const bool good = from.name[0] >= 'a' && from.name[0] <= 'z' &&
                    from.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_.") == std::string::npos;
  if (!good)
    return invalid("invalid name for build stage: \"" + words[2] + "\", name can't start with a number or contain symbols");
  return Meaning(from);
}

Result<Meaning> parse_run(const Source& source) {
  ASSIGN_OR_RETURN(const Flags flags, Flags::parse(source.instruction, {"mount", "network", "security"}));
  instr::Run run;
  ASSIGN_OR_RETURN(run.mounts, flags.list("mount"));
  ASSIGN_OR_RETURN(run.network, flags.text("network"));
  ASSIGN_OR_RETURN(run.security, flags.text("security"));
  const bool network = std::any_of(source.instruction.flags.begin(), source.instruction.flags.end(), [](const std::string& flag) { return flag.starts_with("--network="); });
  if (network && run.network != "default" && run.network != "none" && run.network != "host")
    return invalid("invalid network mode \"" + run.network + "\"");
  if (!run.security.empty() && run.security != "sandbox" && run.security != "insecure")
    return invalid("security \"" + run.security + "\" is not valid");
  for (const auto& mount : run.mounts)  // variables may hide the values: only what is certain is refused here
    if (mount.find('$') == std::string::npos) TRY(parse_run_mount(mount));
  ASSIGN_OR_RETURN(run.command, command_line(source.instruction.rest));
  run.heredocs = source.instruction.heredocs;
  return Meaning(run);
}

Result<Meaning> parse_copy(const Source& source) {
  const bool add = source.instruction.keyword == "ADD";
  std::set<std::string> allowed = {"chown", "chmod", "link", "exclude"};
  if (add) allowed.insert({"checksum", "keep-git-dir", "unpack"});
  else allowed.insert({"from", "parents"});
  ASSIGN_OR_RETURN(const Flags flags, Flags::parse(source.instruction, allowed));
  instr::Copy copy;
  copy.add = add;
  ASSIGN_OR_RETURN(copy.from, flags.text("from"));
  ASSIGN_OR_RETURN(copy.chown, flags.text("chown"));
  ASSIGN_OR_RETURN(copy.chmod, flags.text("chmod"));
  ASSIGN_OR_RETURN(copy.checksum, flags.text("checksum"));
  ASSIGN_OR_RETURN(copy.exclude, flags.list("exclude"));
  ASSIGN_OR_RETURN(copy.unpack, flags.boolean("unpack"));
  ASSIGN_OR_RETURN(const auto link, flags.boolean("link"));
  ASSIGN_OR_RETURN(const auto parents, flags.boolean("parents"));
  ASSIGN_OR_RETURN(copy.keep_git_dir, flags.boolean("keep-git-dir"));
  copy.link = link.value_or(false);
  copy.parents = parents.value_or(false);
  ASSIGN_OR_RETURN(auto exec_form, parse_exec_form(source.instruction.rest));
  std::vector<std::string> words = exec_form ? *exec_form : split_blank(source.instruction.rest);
  if (words.size() < 2)
    return invalid(source.instruction.keyword + " requires at least two arguments" +
                   (words.size() == 1 ? ", but only one was provided. Destination could not be determined" : ""));
  copy.destination = words.back();
  if (!exec_form && heredoc_word(copy.destination)) return invalid(source.instruction.keyword + " cannot accept a heredoc as a destination");
  words.pop_back();
  copy.heredocs = source.instruction.heredocs;
  for (auto& word : words)
    if (exec_form || !heredoc_word(word)) copy.sources.push_back(std::move(word));
  return Meaning(copy);
}

Result<std::vector<KeyValue>> key_values(const Source& source) {
  const std::string& keyword = source.instruction.keyword;
  const auto words = split_quoted(source.instruction.rest, source.escape);
  if (words.empty()) return invalid(keyword + " must have two arguments");
  std::vector<KeyValue> pairs;
  if (words.front().find('=') == std::string::npos) {  // the old form: KEY the rest of the line
    const std::string& rest = source.instruction.rest;
    const std::size_t blank = rest.find_first_of(" \t\v\f\r");
    if (blank == std::string::npos) return invalid(keyword + " must have two arguments");
    pairs.push_back({rest.substr(0, blank), std::string(trim(rest.substr(blank)))});
    return pairs;
  }
  for (const auto& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == std::string::npos)
      return invalid("Syntax error - can't find = in \"" + word + "\". Must be of the form: name=value");
    if (equals == 0) return invalid(keyword + " names can not be blank");
    pairs.push_back({word.substr(0, equals), word.substr(equals + 1)});
  }
  return pairs;
}

Result<Meaning> parse_arg(const Source& source) {
  TRY(no_flags(source));
  const auto words = split_quoted(source.instruction.rest, source.escape);
  if (words.empty()) return invalid("ARG requires at least one argument");
  instr::Arg arg;
  for (const auto& word : words) {
    const std::size_t equals = word.find('=');
    if (equals == 0) return invalid("ARG names can not be blank");
    instr::ArgItem item{.key = word.substr(0, equals), .value = {}};
    if (equals != std::string::npos) item.value = word.substr(equals + 1);
    arg.items.push_back(std::move(item));
  }
  return Meaning(arg);
}

Result<std::string> one_argument(const Source& source) {
  TRY(no_flags(source));
  if (source.instruction.rest.empty()) return invalid(source.instruction.keyword + " requires exactly one argument");
  return source.instruction.rest;
}

Result<std::vector<std::string>> maybe_exec_list(const Source& source) {
  TRY(no_flags(source));
  ASSIGN_OR_RETURN(auto exec_form, parse_exec_form(source.instruction.rest));
  auto words = exec_form ? *exec_form : split_blank(source.instruction.rest);
  if (words.empty()) return invalid(source.instruction.keyword + " requires at least one argument");
  return words;
}

Result<std::optional<Nanoseconds>> health_duration(const Flags& flags, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, flags.text(name));
  if (text.empty()) return std::optional<Nanoseconds>();
  const bool negative = text.starts_with('-');
  ASSIGN_OR_RETURN(Nanoseconds value, parse_duration(negative ? text.substr(1) : text));
  if (negative) value = -value;
  if (value.count() == 0) return std::optional<Nanoseconds>();
  if (value < std::chrono::milliseconds(1)) return invalid("Interval \"" + name + "\" cannot be less than 1ms");
  return std::optional(value);
}

Result<Meaning> parse_healthcheck(const Source& source) {
  ASSIGN_OR_RETURN(const Flags flags,
                   Flags::parse(source.instruction, {"interval", "timeout", "start-period", "start-interval", "retries"}));
  const std::string& rest = source.instruction.rest;
  const std::size_t blank = rest.find_first_of(" \t");
  const std::string type = upper(rest.substr(0, blank));
  const std::string arguments(blank == std::string::npos ? std::string_view() : trim(std::string_view(rest).substr(blank)));
  if (type.empty()) return invalid("HEALTHCHECK requires at least one argument");
  instr::Healthcheck check;
  if (type == "NONE") {
    if (!arguments.empty()) return invalid("HEALTHCHECK NONE takes no arguments");
    check.spec.test = {"NONE"};
    return Meaning(check);
  }
  if (type != "CMD") return invalid("Unknown type \"" + type + "\" in HEALTHCHECK (try CMD)");
  ASSIGN_OR_RETURN(const CommandLine command, command_line(arguments));
  if (command.words.empty()) return invalid("Missing command after HEALTHCHECK CMD");
  check.spec.test = {command.shell ? "CMD-SHELL" : "CMD"};
  check.spec.test.insert(check.spec.test.end(), command.words.begin(), command.words.end());
  ASSIGN_OR_RETURN(check.spec.interval, health_duration(flags, "interval"));
  ASSIGN_OR_RETURN(check.spec.timeout, health_duration(flags, "timeout"));
  ASSIGN_OR_RETURN(check.spec.start_period, health_duration(flags, "start-period"));
  ASSIGN_OR_RETURN(check.spec.start_interval, health_duration(flags, "start-interval"));
  ASSIGN_OR_RETURN(const std::string retries, flags.text("retries"));
  if (!retries.empty()) {
    if (retries.starts_with('-')) return invalid("--retries cannot be negative (" + retries + ")");
    if (retries.size() > 9 || retries.find_first_not_of("0123456789") != std::string::npos)
      return invalid("strconv.ParseInt: parsing \"" + retries + "\": invalid syntax");
    check.spec.retries = std::stoi(retries);
    if (*check.spec.retries == 0) check.spec.retries.reset();
  }
  return Meaning(check);
}

Result<Meaning> parse_shell(const Source& source) {
  TRY(no_flags(source));
  ASSIGN_OR_RETURN(auto words, parse_exec_form(source.instruction.rest));
  if (!words) return invalid("SHELL requires the arguments to be in JSON form");
  if (words->empty()) return invalid("SHELL requires at least one argument");
  return Meaning(instr::Shell{*words});
}

Result<Meaning> parse_onbuild(const Source& source) {
  TRY(no_flags(source));
  const auto words = split_blank(source.instruction.rest);
  if (words.empty()) return invalid("ONBUILD requires at least one argument");
  const std::string trigger = upper(words.front());
  if (trigger == "ONBUILD") return invalid("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed");
  if (trigger == "FROM" || trigger == "MAINTAINER") return invalid(trigger + " isn't allowed as an ONBUILD trigger");
  std::string text = source.instruction.rest;
  for (const auto& heredoc : source.instruction.heredocs) text += "\n" + heredoc.raw + heredoc.name;
  return Meaning(instr::OnBuild{text});
}

template <class T>
Result<Meaning> command_meaning(const Source& source) {
  TRY(no_flags(source));
  ASSIGN_OR_RETURN(CommandLine command, command_line(source.instruction.rest));
  return Meaning(T{std::move(command)});
}

template <class T>
Result<Meaning> pairs_meaning(const Source& source) {
  TRY(no_flags(source));
  ASSIGN_OR_RETURN(auto pairs, key_values(source));
  return Meaning(T{std::move(pairs)});
}

template <class T>
Result<Meaning> text_meaning(const Source& source) {
  ASSIGN_OR_RETURN(auto text, one_argument(source));
  return Meaning(T{std::move(text)});
}

template <class T>
Result<Meaning> list_meaning(const Source& source) {
  ASSIGN_OR_RETURN(auto words, maybe_exec_list(source));
  return Meaning(T{std::move(words)});
}

Result<Meaning> parse_volume(const Source& source) {
  ASSIGN_OR_RETURN(auto paths, maybe_exec_list(source));
  for (const auto& path : paths)
    if (trim(path).empty()) return invalid("VOLUME specified can not be an empty string");
  return Meaning(instr::Volume{std::move(paths)});
}

Result<Meaning> parse_expose(const Source& source) {
  TRY(no_flags(source));
  auto ports = split_blank(source.instruction.rest);
  if (ports.empty()) return invalid("EXPOSE requires at least one argument");
  return Meaning(instr::Expose{std::move(ports)});
}

using Parse = Result<Meaning> (*)(const Source&);
const std::map<std::string, Parse>& table() {
  static const std::map<std::string, Parse> rows = {
      {"FROM", parse_from},
      {"RUN", parse_run},
      {"COPY", parse_copy},
      {"ADD", parse_copy},
      {"ENV", pairs_meaning<instr::Env>},
      {"LABEL", pairs_meaning<instr::Label>},
      {"ARG", parse_arg},
      {"WORKDIR", text_meaning<instr::Workdir>},
      {"USER", text_meaning<instr::User>},
      {"EXPOSE", parse_expose},
      {"VOLUME", parse_volume},
      {"ENTRYPOINT", command_meaning<instr::Entrypoint>},
      {"CMD", command_meaning<instr::Cmd>},
      {"HEALTHCHECK", parse_healthcheck},
      {"MAINTAINER", text_meaning<instr::Maintainer>},
      {"STOPSIGNAL", text_meaning<instr::StopSignal>},
      {"SHELL", parse_shell},
      {"ONBUILD", parse_onbuild},
  };
  return rows;
}

/// In the case the wrong word is in.
std::string suggestion(const std::string& typed) {
  std::vector<std::string> names;
  for (const auto& [name, parse] : table()) names.push_back(lower(name));
  const auto meant = closest_name(lower(typed), names);
  return meant.empty() ? "" : " (did you mean " + (typed == upper(typed) ? upper(meant) : meant) + "?)";
}

}  // namespace

std::string closest_name(std::string_view wrong, const std::vector<std::string>& names) {
  std::string best;
  std::size_t distance = 3;  // further away is another word
  for (const auto& name : names) {
    if (name == wrong) return "";
    const auto d = edit_distance(wrong, name);
    if (d < distance) {
      distance = d;
      best = name;
    }
  }
  return best;
}

Result<Command> understand(const Instruction& instruction, char escape) {
  const auto row = table().find(instruction.keyword);
  if (row == table().end())
    return invalid("unknown instruction: " + instruction.typed + suggestion(instruction.typed));
  ASSIGN_OR_RETURN(Meaning meaning, row->second(Source{instruction, escape}));
  return Command{std::move(meaning), instruction.original, instruction.span, instruction.typed};
}

Result<Nanoseconds> parse_duration(const std::string& text) {
  static const std::map<std::string, double> units = {{"ns", 1},   {"us", 1e3}, {"µs", 1e3}, {"ms", 1e6},
                                                      {"s", 1e9}, {"m", 6e10}, {"h", 3.6e12}};
  const base::Error bad = invalid("time: invalid duration \"" + text + "\"");
  if (text == "0") return Nanoseconds(0);
  double total = 0;
  std::size_t at = 0;
  if (text.empty()) return bad;
  while (at < text.size()) {
    const std::size_t start = at;
    while (at < text.size() && (text[at] == '.' || (text[at] >= '0' && text[at] <= '9'))) ++at;
    const std::string number = text.substr(start, at - start);
    const std::size_t unit_start = at;
    while (at < text.size() && text[at] != '.' && !(text[at] >= '0' && text[at] <= '9')) ++at;
    const std::string unit_name = text.substr(unit_start, at - unit_start);
    if (!number.empty() && unit_name.empty()) return invalid("time: missing unit in duration \"" + text + "\"");
    const auto unit = units.find(unit_name);
    if (number.empty() || number == "." || number.size() > 15 || std::count(number.begin(), number.end(), '.') > 1 ||
        unit == units.end())
      return bad;
    total += std::stod(number) * unit->second;
  }
  if (total > 9e18) return bad;
  return Nanoseconds(static_cast<std::int64_t>(total + 0.5));
}

}  // namespace engine::build
