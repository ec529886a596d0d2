#include "engine/registry/cli.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/images/image_store.h"
#include "engine/images/printable.h"
#include "engine/registry/archive.h"
#include "engine/registry/cli_parts.h"
#include "engine/registry/transfer.h"

namespace engine::registry {

using base::Error;
using base::ErrorKind;
using images::ImageStore;
using ordered = nlohmann::ordered_json;

namespace {

/// `values` take an argument, `flags` do not. "--name=value" and "--name value".
Result<Arguments> parse(const std::vector<std::string>& words, const std::vector<std::string>& values, const std::vector<std::string>& flags) {
  Arguments result;
  bool operands_only = false;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const auto& word = words[i];
    if (operands_only || word == "-" || !word.starts_with('-')) {
      result.operands.push_back(word);
      continue;
    }
    if (word == "--") {
      operands_only = true;
      continue;
    }
    const auto equals = word.find('=');
    const auto name = word.substr(0, equals);
    if (std::find(flags.begin(), flags.end(), name) != flags.end()) {
      result.options[name].emplace_back();
    } else if (std::find(values.begin(), values.end(), name) != values.end()) {
      if (equals == std::string::npos && i + 1 == words.size()) return base::make_error(ErrorKind::invalid, "option " + name + " needs a value");
      result.options[name].push_back(equals == std::string::npos ? words[++i] : word.substr(equals + 1));
    } else {
      return base::make_error(ErrorKind::invalid, "unknown option " + name);
    }
  }
  return result;
}

std::string dump(const ordered& value) { return value.dump(-1, ' ', false, ordered::error_handler_t::replace); }

}  // namespace

void print_line(const std::string& line) { (void)base::sys::write_all(base::Fd(1), line + "\n"); }

Result<Reporter> Reporter::from(const Arguments& arguments) {
  const auto word = arguments.has("-q") || arguments.has("--quiet") ? "quiet" : arguments.get("--progress");
  if (word.empty() || word == "plain" || word == "auto") return Reporter{};
  if (word == "json") return Reporter{Output::json};
  if (word == "quiet") return Reporter{Output::quiet};
  return base::make_error(ErrorKind::invalid, "unknown progress '" + word + "': json, plain or quiet");
}

ProgressSink Reporter::sink() const {
  if (output == Output::quiet) return {};
  if (output == Output::json)
    return [](const ProgressEvent& event) {
      ordered line{{"status", event.status}, {"id", event.id}};
      if (event.total > 0) line["current"] = event.current, line["total"] = event.total;
      print_line(dump(line));
    };
  return [last = std::map<std::string, std::string>()](const ProgressEvent& event) mutable {
    if (std::exchange(last[event.id], event.status) == event.status) return;  // no bars: a line per change
    print_line(event.id.empty() ? event.status : event.id + ": " + event.status);
  };
}

int Reporter::result(const std::vector<std::pair<std::string, std::string>>& fields, const std::string& text) const {
  ordered value = ordered::object();
  for (const auto& [key, field] : fields) value[key] = field;
  if (output == Output::json) print_line(dump(ordered{{"result", value}}));
  else if (!text.empty()) print_line(text);
  return 0;
}

namespace {

int report(const Reporter& reporter, const ordered& value, const std::string& text) {
  if (reporter.output == Output::json) print_line(dump(ordered{{"result", value}}));
  else if (!text.empty()) print_line(text);
  return 0;
}

int fail(const Error& error, Output output = Output::plain) {
  if (output == Output::json)
    print_line(dump(ordered{{"error", {{"kind", base::to_string(error.kind)}, {"message", images::printable(error.text())}}}}));
  else
    (void)base::sys::write_all(base::Fd(2), "error: " + images::printable(error.text()) + "\n");
  return 1;
}

Result<int> do_pull(const Arguments& arguments, const Reporter& reporter) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto done, pull(store, arguments.operands[0], {.platform = arguments.get("--platform"), .progress = reporter.sink()}));
  const ordered value{{"id", done.id}, {"reference", done.reference}, {"digest", done.digest}, {"changed", done.changed}};
  return report(reporter, value, reporter.output == Output::quiet ? done.id
                                                                 : "Digest: " + done.digest + "\nStatus: " +
                                                                       (done.changed ? "Downloaded newer image for " : "Image is up to date for ") + done.reference);
}

Result<int> do_push(const Arguments& arguments, const Reporter& reporter) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto done, push(store, arguments.operands[0], reporter.sink()));
  const ordered value{{"reference", done.reference}, {"digest", done.digest}, {"size", done.size_bytes}};
  return report(reporter, value, done.reference + ": digest: " + done.digest + " size: " + std::to_string(done.size_bytes));
}

ordered loaded_json(const Loaded& one) { return {{"id", one.id}, {"references", one.references}}; }

Result<int> do_load(const Arguments& arguments, const Reporter& reporter) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  const auto path = arguments.get("--input").empty() ? arguments.get("-i") : arguments.get("--input");
  std::vector<Loaded> all;
  std::error_code ignored;
  if (!path.empty() && std::filesystem::is_directory(path, ignored)) {
    ASSIGN_OR_RETURN(all, load_layout(store, path, {.progress = reporter.sink(), .tag = "", .digest = ""}));
  } else if (!path.empty() && path != "-") {
    ASSIGN_OR_RETURN(const auto file, base::sys::open(path, O_RDONLY));
    ASSIGN_OR_RETURN(all, load(store, file.borrow(), reporter.sink()));
  } else {
    ASSIGN_OR_RETURN(all, load(store, base::Fd(0), reporter.sink()));
  }
  auto value = ordered::array();
  std::string text;
  for (const auto& one : all) {
    value.push_back(loaded_json(one));
    for (const auto& name : one.references) text += (text.empty() ? "" : "\n") + std::string("Loaded image: ") + name;
    if (one.references.empty()) text += (text.empty() ? "" : "\n") + std::string("Loaded image ID: ") + one.id;
  }
  return report(reporter, value, text);
}

Result<int> do_save(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  const auto path = arguments.get("--output").empty() ? arguments.get("-o") : arguments.get("--output");
  if (path.empty() || path == "-") {
    if (isatty(1) != 0) return base::make_error(ErrorKind::invalid, "refusing to write an archive to a terminal; use --output or redirect");
    TRY(save(store, arguments.operands, base::Fd(1)));
    return 0;
  }
  const auto partial = path + ".partial";
  ASSIGN_OR_RETURN(const auto file, base::sys::open(partial, O_WRONLY | O_CREAT | O_TRUNC, 0600));
  auto saved = save(store, arguments.operands, file.borrow());
  if (!saved) {
    (void)base::sys::unlink(partial);
    return std::move(saved).error();
  }
  TRY(base::sys::rename(partial, path));
  return 0;
}

Result<int> do_import(const Arguments& arguments, const Reporter& reporter) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ImportOptions options{.reference = arguments.operands.size() > 1 ? arguments.operands[1] : "", .changes = {},
                        .message = arguments.get("--message"), .platform = arguments.get("--platform"), .progress = reporter.sink()};
  for (const char* name : {"--change", "-c"})
    if (arguments.has(name)) options.changes.insert(options.changes.end(), arguments.options.at(name).begin(), arguments.options.at(name).end());
  const auto& source = arguments.operands[0];
  std::error_code ignored;
  Loaded loaded;
  if (source == "-") {
    ASSIGN_OR_RETURN(loaded, import_tar(store, base::Fd(0), options));
  } else if (std::filesystem::is_directory(source, ignored)) {
    ASSIGN_OR_RETURN(loaded, import_directory(store, source, options));
  } else {
    ASSIGN_OR_RETURN(const auto file, base::sys::open(source, O_RDONLY));
    ASSIGN_OR_RETURN(loaded, import_tar(store, file.borrow(), options));
  }
  return report(reporter, loaded_json(loaded), loaded.id);
}

}  // namespace

std::string size_text(std::int64_t bytes) {
  constexpr std::array units{"B", "kB", "MB", "GB", "TB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1000 && unit + 1 < units.size()) value /= 1000, ++unit;
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), value < 10 && unit > 0 ? "%.2f%s" : value < 100 && unit > 0 ? "%.1f%s" : "%.0f%s", value, units.at(unit));
  return text.data();
}

namespace {

Result<int> do_ls(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto all, ImageStore(store).list());
  std::string table = "REPOSITORY:TAG                                     IMAGE ID       PLATFORM       SIZE\n";
  auto list = ordered::array();
  for (const auto& one : all) {
    list.push_back({{"id", one.id}, {"tags", one.tags}, {"digests", one.digests}, {"platform", one.platform}, {"size", one.size_bytes},
                    {"created", images::format_time(one.created)}, {"labels", one.labels}, {"containers", one.containers}});
    auto names = one.tags;
    if (names.empty()) names.emplace_back("<none>");
    for (const auto& name : names) {
      const auto parsed = images::parse_reference(name);
      std::array<char, 256> line{};
      std::snprintf(line.data(), line.size(), "%-50s %-14s %-14s %s\n", parsed ? parsed->familiar().c_str() : name.c_str(),
                    one.id.substr(7, 12).c_str(), one.platform.c_str(), size_text(one.size_bytes).c_str());
      table += line.data();
    }
  }
  if (arguments.has("--json")) print_line(dump(list));
  else (void)base::sys::write_all(base::Fd(1), table);
  return 0;
}

/// Options that would go unheard without another one.
Result<> only_with(const Arguments& arguments, std::initializer_list<const char*> options, const char* needed) {
  for (const char* option : options)
    if (arguments.has(option)) return base::make_error(ErrorKind::invalid, std::string(option) + " goes with " + needed + " only");
  return {};
}

Result<int> do_inspect(const Arguments& arguments, const Reporter&) {
  if (arguments.has("--remote")) return do_inspect_remote(arguments);
  TRY(only_with(arguments, {"--platform", "--raw"}, "--remote"));
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ImageStore images(store);
  auto list = ordered::array();
  for (const auto& name : arguments.operands) {
    ASSIGN_OR_RETURN(const auto image, images.resolve(name));
    std::vector<std::string> folders;
    for (const auto& folder : image.layer_dirs) folders.push_back(folder);
    list.push_back({{"id", image.id}, {"tags", image.tags}, {"digests", image.digests}, {"manifest", image.manifest_digest},
                    {"size", image.size_bytes}, {"created", images::format_time(image.created)}, {"layers", image.chain_ids},
                    {"folders", folders}, {"config", ordered::parse(images::to_json(image.config))}});
  }
  print_line(list.dump(2, ' ', false, ordered::error_handler_t::replace));
  return 0;
}

void print_removed(const images::Removed& removed) {
  for (const auto& name : removed.untagged) print_line("Untagged: " + name);
  for (const auto& id : removed.deleted) print_line("Deleted: " + id);
}

Result<int> do_rm(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ImageStore images(store);
  int code = 0;
  for (const auto& name : arguments.operands) {
    auto removed = images.remove(name, {.force = arguments.has("-f") || arguments.has("--force")});
    if (removed) print_removed(*removed);
    else code = fail(removed.error());
  }
  return code;
}

Result<int> do_prune(const Arguments& arguments, const Reporter&) {
  if (arguments.has("--build-cache")) {
    if (arguments.has("--label")) return base::make_error(ErrorKind::invalid, "--label goes without --build-cache only: the cache has no labels");
    return do_prune_cache(arguments);
  }
  TRY(only_with(arguments, {"--until", "--keep-storage"}, "--build-cache"));
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto removed, ImageStore(store).prune({.all = arguments.has("-a") || arguments.has("--all"), .label = arguments.get("--label")}));
  print_removed(removed);
  print_line("Total reclaimed space: " + size_text(removed.freed_bytes));
  return 0;
}

Result<int> do_tag(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  TRY(ImageStore(store).tag(arguments.operands[0], arguments.operands[1]));
  return 0;
}

Result<int> do_settle(const Arguments&, const Reporter&) {
  // It runs after its parent is gone: a store that was removed meanwhile must not come back.
  if (access(paths::database().c_str(), F_OK) != 0) return 0;
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  TRY(ImageStore(store).settle());
  return 0;
}

const std::map<std::string, Verb>& verbs() {
  static const std::map<std::string, Verb> table{
      {"pull", {{"--platform", "--progress"}, {"-q", "--quiet"}, 1, 1, "pull [--platform OS/ARCH[/VARIANT]] [--quiet | --progress json|plain|quiet] NAME", do_pull}},
      {"push", {{"--progress"}, {"-q", "--quiet"}, 1, 1, "push [--quiet | --progress json|plain|quiet] NAME", do_push}},
      {"load", {{"-i", "--input", "--progress"}, {}, 0, 0, "load [--input FILE|FOLDER] [--progress json|plain|quiet]", do_load}},
      {"save", {{"-o", "--output"}, {}, 1, 1000, "save [--output FILE] NAME...", do_save}},
      {"import", {{"-c", "--change", "--message", "--platform", "--progress"}, {}, 1, 2,
                  "import [--change INSTRUCTION]... [--message TEXT] [--platform OS/ARCH] FILE|FOLDER|- [NAME]", do_import}},
      {"ls", {{}, {"--json"}, 0, 0, "ls [--json]", do_ls}},
      {"inspect", {{"--platform"}, {"--remote", "--raw"}, 1, 1000, "inspect [--remote [--platform OS/ARCH] [--raw]] NAME...", do_inspect}},
      {"tag", {{}, {}, 2, 2, "tag SOURCE TARGET", do_tag}},
      {"rm", {{}, {"-f", "--force"}, 1, 1000, "rm [--force] NAME...", do_rm}},
      {"prune", {{"--until", "--keep-storage", "--label"}, {"-a", "--all", "-f", "--force", "--build-cache"}, 0, 0,
                 "prune [--all] [--label KEY[=VALUE]] | prune --build-cache [--until AGE] [--keep-storage SIZE]", do_prune}},
      {"settle", {{}, {}, 0, 0, "settle", do_settle}},
  };
  return table;
}

}  // namespace

std::string command_usage() {
  std::string text = "Usage:  compose image COMMAND\n\nManage images\n\nCommands:\n  build: see compose build\n";
  std::map<std::string, std::string> lines;
  for (const auto* table : {&verbs(), &remote_verbs()})
    for (const auto& [name, verb] : *table)
      if (name != "settle" && name != "compose-publish") lines[name] = verb.usage;
  for (const auto& [name, usage] : lines) text += "  " + usage + "\n";
  return text;
}

std::optional<int> run_command(const std::string& verb, const std::vector<std::string>& words) {
  if (verb == "--help" || verb == "-h" || verb == "help") {
    (void)base::sys::write_all(base::Fd(1), command_usage());
    return 0;
  }
  const Verb* one = nullptr;
  for (const auto* table : {&verbs(), &remote_verbs()})
    if (const auto found = table->find(verb); found != table->end()) one = &found->second;
  if (one == nullptr) return std::nullopt;
  return run_verb(*one, words);
}

namespace {
constexpr std::array<std::string_view, 2> help_words{"--help", "-h"};
}

int run_verb(const Verb& row, const std::vector<std::string>& words) {
  const auto usage = [&](const Error& error) {
    (void)fail(error);
    (void)base::sys::write_all(base::Fd(2), "usage: compose-image " + row.usage + "\n");
    return 2;
  };
  if (std::find_first_of(words.begin(), words.end(), help_words.begin(), help_words.end()) != words.end()) {
    print_line("Usage:  compose image " + row.usage);
    return 0;
  }
  const auto arguments = parse(words, row.values, row.flags);
  if (!arguments) return usage(arguments.error());
  const auto count = arguments->operands.size();
  if (count < row.operands_min || count > row.operands_max)
    return usage(base::make_error(ErrorKind::invalid, count < row.operands_min ? "an argument is missing" : "too many arguments"));
  const auto reporter = Reporter::from(*arguments);
  if (!reporter) return usage(reporter.error());
  auto code = row.body(*arguments, *reporter);
  if (!code) return fail(code.error(), reporter->output);
  return *code;
}

}  // namespace engine::registry
