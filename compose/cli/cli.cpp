#include "compose/cli/cli.h"

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdlib>

#include "compose/cli/context.h"
#include "compose/cli/files_loader.h"
#include "compose/cli/globals.h"
#include "compose/cli/output.h"
#include "compose/cli/verbs.h"
#include "compose/reconcile/labels.h"

namespace compose::cli {
namespace {

using base::Result;

/// COMPOSE_PARALLEL_LIMIT where --parallel says nothing.
Result<long> parallel_limit(const Parsed& parsed) {
  if (const auto given = parsed.number("parallel")) return *given;
  const auto limit = setting("COMPOSE_PARALLEL_LIMIT");
  if (!limit) return -1;
  long value = 0;
  const std::string_view text(*limit), digits = text.substr(text.starts_with('+') ? 1 : 0);
  const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (code != std::errc() || end != digits.data() + digits.size())
    return usage_error("COMPOSE_PARALLEL_LIMIT must be an integer (found: \"" + std::string(text) + "\")");
  return value;
}

Result<> set_globals(const Parsed& parsed) {
  Globals& g = globals();
  g.files = parsed.list("file");
  g.env_files = parsed.list("env-file");
  g.profiles = parsed.list("profile");
  g.project_name = parsed.text("project-name");
  g.project_directory = parsed.text("project-directory", parsed.text("workdir"));
  g.ansi = parsed.text("ansi", parsed.on("no-ansi") ? "never" : setting("COMPOSE_ANSI").value_or("auto"));
  // Docker Compose reads this one before the env files.
  const char* progress = std::getenv("COMPOSE_PROGRESS");
  g.progress = parsed.text("progress", progress != nullptr && *progress != 0 ? progress : "auto");
  g.dry_run = parsed.on("dry-run");
  g.compatibility = parsed.on("compatibility", switched_on("COMPOSE_COMPATIBILITY"));
  g.all_resources = parsed.on("all-resources");
  g.compatibility_flag = parsed.on("compatibility");
  ASSIGN_OR_RETURN(g.parallel, parallel_limit(parsed));
  // Docker Compose takes any other word for auto.
  if (g.ansi != "never" && g.ansi != "always") g.ansi = "auto";
  if (g.progress.empty()) g.progress = "auto";
  const auto known = {"auto", "tty", "plain", "json", "quiet"};
  if (std::find(known.begin(), known.end(), g.progress) == known.end()) return usage_error("unsupported --progress value \"" + g.progress + "\"");
  if (parsed.on("verbose")) warn("--verbose changes nothing: everything there is to say is said without it");
  return {};
}

/// What Docker asks its plugins on start.
int plugin_metadata() {
  out("{\"SchemaVersion\":\"0.1.0\",\"Vendor\":\"compose\",\"Version\":\"" + std::string(reconcile::compatible_version) +
      "\",\"ShortDescription\":\"Define and run multi-container applications\"}\n");
  return 0;
}

int fail(const base::Error& error) {
  if (!was_shown(error)) err(error.text() + "\n");
  return 1;
}

Result<> check_arguments(const Verb& verb, std::size_t count) {
  const std::string name = "\"compose " + std::string(verb.name) + "\"";
  const auto plural = [](std::size_t n) { return std::to_string(n) + (n == 1 ? " argument" : " arguments"); };
  if (verb.least == verb.most && count != verb.least) {
    return usage_error(name + (verb.least == 0 ? " accepts no arguments" : " requires exactly " + plural(verb.least)));
  }
  if (count < verb.least) return usage_error(name + " requires at least " + plural(verb.least));
  if (count > verb.most) return usage_error(name + " requires at most " + plural(verb.most));
  return {};
}

Result<int> dispatch(std::span<const std::string> words) {
  std::size_t used = 0;
  ASSIGN_OR_RETURN(const Parsed root, parse(global_flags(), words, false, &used));
  TRY(set_globals(root));
  if (root.on("version")) return find_verb("version")->handler(Parsed{});
  if (root.help || root.arguments.empty()) {
    out(root_help());
    return 0;
  }
  words = words.subspan(used);
  if (words.front() == "help") {
    const Verb* about = words.size() > 1 ? find_verb(words[1]) : nullptr;
    out(about != nullptr ? verb_help(*about) : root_help());
    return 0;
  }
  const Verb* verb = find_verb(words.front());
  if (verb == nullptr) {
    out(root_help());
    return base::make_error(base::ErrorKind::invalid, "unknown docker command: \"compose " + words.front() + "\"");
  }
  if (verb->handler == nullptr) {
    return base::make_error(base::ErrorKind::unsupported, "compose " + std::string(verb->name) + " " + std::string(verb->refused));
  }
  words = words.subspan(1);
  if (verb->raw) {
    Parsed all;
    all.arguments.assign(words.begin(), words.end());
    return verb->handler(all);
  }
  ASSIGN_OR_RETURN(const Parsed parsed, parse(verb->flags, words, verb->interspersed));
  if (parsed.help) {
    out(verb_help(*verb));
    return 0;
  }
  TRY(check_arguments(*verb, parsed.arguments.size()));
  if (parsed.on("dry-run")) globals().dry_run = true;
  return verb->handler(parsed);
}

}  // namespace

int run(std::vector<std::string> arguments) {
  // A reader of ours that goes away must not kill us between two steps; writes to standard output notice it themselves.
  std::signal(SIGPIPE, SIG_IGN);
  std::span<const std::string> words(arguments);
  if (!words.empty()) words = words.subspan(1);
  if (!words.empty() && words.front() == "docker-cli-plugin-metadata") return plugin_metadata();
  const bool plugin_name = !arguments.empty() && std::filesystem::path(arguments.front()).filename() == "docker-compose";
  if (plugin_name && !words.empty() && words.front() == "compose") {
    globals().plugin = true;
    words = words.subspan(1);
  }
  auto code = dispatch(words);
  return code ? *code : fail(code.error());
}

}  // namespace compose::cli
