// Verbs of compose-image that speak to registries only, or look at the store as a whole.
#include <termios.h>
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/images/printable.h"
#include "engine/images/usage.h"
#include "engine/registry/cli_parts.h"
#include "engine/registry/compose_artifact.h"
#include "engine/registry/login.h"
#include "engine/registry/remote.h"
#include "engine/registry/transfer.h"

namespace engine::registry {

using base::ErrorKind;
using ordered = nlohmann::ordered_json;

namespace {

constexpr std::size_t secret_bytes_max = 64 * 1024;

/// A line typed at the terminal; `hidden` does not echo it.
Result<std::string> ask(const char* what, bool hidden) {
  ASSIGN_OR_RETURN(const auto terminal, base::sys::open("/dev/tty", O_RDWR));
  TRY(base::sys::write_all(terminal.borrow(), what));
  termios before{};
  const bool changed = hidden && ::tcgetattr(terminal.number(), &before) == 0;
  if (changed) {
    termios quiet = before;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    (void)::tcsetattr(terminal.number(), TCSAFLUSH, &quiet);
  }
  std::array<char, 4096> line{};
  const auto count = base::sys::read(terminal.borrow(), line);
  if (changed) {
    (void)::tcsetattr(terminal.number(), TCSAFLUSH, &before);
    (void)base::sys::write_all(terminal.borrow(), "\n");
  }
  if (!count) return count.error();
  std::string text(line.data(), *count);
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

Result<std::string> all_of_stdin() {
  std::string text;
  std::array<char, 4096> chunk{};
  while (text.size() < secret_bytes_max) {
    ASSIGN_OR_RETURN(const auto count, base::sys::read(base::Fd(0), chunk));
    if (count == 0) break;
    text.append(chunk.data(), count);
  }
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  return text;
}

std::string either(const Arguments& arguments, const char* name, const char* letter) {
  return arguments.has(name) ? arguments.get(name) : arguments.get(letter);
}

Result<int> do_login(const Arguments& arguments, const Reporter&) {
  LoginRequest request{.server = arguments.operands.empty() ? "" : arguments.operands[0], .user = either(arguments, "--username", "-u"),
                       .password = either(arguments, "--password", "-p")};
  if (arguments.has("--password-stdin")) {
    if (!request.password.empty()) return base::make_error(ErrorKind::invalid, "--password and --password-stdin are mutually exclusive");
    if (request.user.empty()) return base::make_error(ErrorKind::invalid, "the --password-stdin option requires --username to be set");
    ASSIGN_OR_RETURN(request.password, all_of_stdin());
  } else if (!request.password.empty()) {
    (void)base::sys::write_all(base::Fd(2), "WARNING! Using --password via the CLI is insecure. Use --password-stdin.\n");
  }
  const bool typed = ::isatty(0) != 0;
  if ((request.user.empty() || request.password.empty()) && !typed)
    return base::make_error(ErrorKind::invalid, "cannot perform an interactive login from a non-terminal: use --username and --password-stdin");
  if (request.user.empty()) {
    ASSIGN_OR_RETURN(request.user, ask("Username: ", false));
  }
  if (request.password.empty()) {
    ASSIGN_OR_RETURN(request.password, ask("Password: ", true));
  }
  ASSIGN_OR_RETURN(const auto place, log_in(request));
  if (!place.starts_with("docker-credential-")) (void)base::sys::write_all(base::Fd(2), "The password is stored unencrypted in " + place + "\n");
  print_line("Login Succeeded");
  return 0;
}

Result<int> do_logout(const Arguments& arguments, const Reporter&) {
  const std::string server = arguments.operands.empty() ? "docker.io" : arguments.operands[0];
  ASSIGN_OR_RETURN(const bool found, log_out(server));
  print_line(found ? "Removing login credentials for " + server : "Not logged in to " + server);
  return 0;
}

Result<int> do_tags(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(const auto tags, remote_tags(arguments.operands[0]));
  if (arguments.has("--json")) {
    print_line(ordered(tags).dump(-1, ' ', false, ordered::error_handler_t::replace));
    return 0;
  }
  for (const auto& tag : tags) print_line(tag);
  return 0;
}

Result<int> do_digest(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(const auto digest, remote_digest(arguments.operands[0]));
  print_line(digest);
  return 0;
}

Result<int> do_copy(const Arguments& arguments, const Reporter& reporter) {
  CopyOptions options{.platform = arguments.get("--platform"), .progress = reporter.sink()};
  ASSIGN_OR_RETURN(const auto digest, copy_image(arguments.operands[0], arguments.operands[1], options));
  return reporter.result({{"digest", digest}}, digest);
}

Result<int> do_history(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto image, images::ImageStore(store).resolve(arguments.operands[0]));
  // History has an entry for every instruction, layers only for those that made files.
  std::vector<std::int64_t> sizes;
  std::size_t layer = 0;
  for (const auto& entry : image.config.history) {
    sizes.push_back(0);
    if (entry.empty_layer || layer >= image.chain_ids.size()) continue;
    ASSIGN_OR_RETURN(const auto row, store.layer(image.chain_ids[layer++]));
    if (row) sizes.back() = row->size_bytes;
  }
  auto list = ordered::array();
  std::string table = "CREATED                CREATED BY                                      SIZE      COMMENT\n";
  for (std::size_t i = sizes.size(); i-- > 0;) {
    const auto& entry = image.config.history[i];
    list.push_back({{"created", entry.created}, {"created_by", entry.created_by}, {"size", sizes[i]}, {"comment", entry.comment}, {"empty_layer", entry.empty_layer}});
    std::string by = entry.created_by;
    if (!arguments.has("--no-trunc") && by.size() > 45) by = by.substr(0, 44) + "…";
    std::array<char, 64> head{};
    std::snprintf(head.data(), head.size(), "%-22.19s ", entry.created.c_str());
    by.resize(std::max<std::size_t>(by.size(), by.ends_with("…") ? 49 : 47), ' ');
    table += head.data() + by + " " + size_text(sizes[i]) + std::string(10 - std::min<std::size_t>(9, size_text(sizes[i]).size()), ' ') + entry.comment + "\n";
  }
  if (arguments.has("--json")) print_line(list.dump(-1, ' ', false, ordered::error_handler_t::replace));
  else (void)base::sys::write_all(base::Fd(1), images::printable(table));
  return 0;
}

Result<int> do_df(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto all, images::usage(store));
  const std::pair<const char*, const images::UsageRow*> rows[] = {
      {"Images", &all.images}, {"Containers", &all.containers}, {"Local Volumes", &all.volumes}, {"Build Cache", &all.build_cache}};
  auto list = ordered::array();
  std::string table = "TYPE            TOTAL     ACTIVE    SIZE      RECLAIMABLE\n";
  for (const auto& [name, row] : rows) {
    list.push_back({{"type", name}, {"total", row->total}, {"active", row->active}, {"size", row->size_bytes}, {"reclaimable", row->reclaimable_bytes}});
    std::array<char, 160> line{};
    const long percent = row->size_bytes == 0 ? 0 : static_cast<long>(100 * row->reclaimable_bytes / row->size_bytes);
    std::snprintf(line.data(), line.size(), "%-15s %-9lld %-9lld %-9s %s (%ld%%)\n", name, static_cast<long long>(row->total),
                  static_cast<long long>(row->active), size_text(row->size_bytes).c_str(), size_text(row->reclaimable_bytes).c_str(), percent);
    table += line.data();
  }
  if (arguments.has("--json")) print_line(list.dump());
  else (void)base::sys::write_all(base::Fd(1), table);
  return 0;
}

constexpr std::size_t files_bytes_max = 256u << 20;

/// Reads a JSON list of files on standard input: {"kind": "compose" | "extended" | "environment", "name": …, and "text" or "path"}.
Result<int> do_publish(const Arguments& arguments, const Reporter&) {
  ComposeArtifact artifact{.files = {}, .compose_version = arguments.get("--compose-version"), .oci_version = arguments.get("--oci-version"), .images = {}};
  if (arguments.has("--image")) artifact.images = arguments.options.at("--image");
  ASSIGN_OR_RETURN(const auto text, base::sys::read_file("/proc/self/fd/0", files_bytes_max));
  const auto list = nlohmann::json::parse(text, nullptr, false);
  try {
    for (const auto& one : list) {
      const auto kind = one.at("kind").get<std::string>();
      ComposeArtifact::File file{.kind = kind == "compose" ? ComposeArtifact::Kind::compose : kind == "extended" ? ComposeArtifact::Kind::extended
                                                                                                                  : ComposeArtifact::Kind::environment,
                                 .name = one.at("name").get<std::string>(), .bytes = one.value("text", "")};
      if (one.contains("path")) {
        ASSIGN_OR_RETURN(file.bytes, base::sys::read_file(one.at("path").get<std::string>(), files_bytes_max));
      }
      artifact.files.push_back(std::move(file));
    }
  } catch (const nlohmann::json::exception& error) {
    return base::make_error(ErrorKind::invalid, std::string("the list of files: ") + error.what());
  }
  ASSIGN_OR_RETURN(const auto digest, publish_compose_artifact(arguments.operands[0], artifact));
  print_line(digest);
  return 0;
}

/// "90s", "15m", "24h", "7d"
Result<std::chrono::seconds> parse_age(const std::string& text) {
  const auto digits = text.find_first_not_of("0123456789");
  const std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  const std::int64_t factor = unit == "s" ? 1 : unit == "m" ? 60 : unit == "h" ? 3600 : unit == "d" ? 86400 : 0;
  if (digits == 0 || digits > 9 || factor == 0) return base::make_error(ErrorKind::invalid, "'" + text + "' is not an age such as 30m, 24h or 7d");
  return std::chrono::seconds(std::stoll(text) * factor);
}

/// "500MB", "10g", bytes without a unit; powers of 1000 as Docker's keep-storage.
Result<std::int64_t> parse_size(const std::string& text) {
  const auto digits = text.find_first_not_of("0123456789");
  std::string unit = digits == std::string::npos ? "" : text.substr(digits);
  for (char& c : unit) c = static_cast<char>(std::tolower(c));
  if (unit.ends_with('b')) unit.pop_back();
  static const std::map<std::string, std::int64_t> factors = {{"", 1}, {"k", 1000}, {"m", 1000'000}, {"g", 1000'000'000}, {"t", 1000'000'000'000}};
  const auto factor = factors.find(unit);
  if (digits == 0 || text.empty() || (digits == std::string::npos ? text.size() : digits) > 12 || factor == factors.end())
    return base::make_error(ErrorKind::invalid, "'" + text + "' is not a size such as 500MB or 10GB");
  return std::stoll(text) * factor->second;
}

}  // namespace

Result<int> do_prune_cache(const Arguments& arguments) {
  images::CachePrune options;
  if (arguments.has("--until")) {
    ASSIGN_OR_RETURN(options.unused_for, parse_age(arguments.get("--until")));
  }
  if (arguments.has("--keep-storage")) {
    ASSIGN_OR_RETURN(options.keep_bytes, parse_size(arguments.get("--keep-storage")));
  }
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  ASSIGN_OR_RETURN(const auto freed, images::prune_build_cache(store, options));
  print_line("Total reclaimed space: " + size_text(freed));
  return 0;
}

Result<int> do_inspect_remote(const Arguments& arguments) {
  for (const auto& name : arguments.operands) {
    ASSIGN_OR_RETURN(const auto text, inspect_remote(name, {.platform = arguments.get("--platform"), .raw = arguments.has("--raw")}));
    print_line(text);
  }
  return 0;
}

const std::map<std::string, Verb>& remote_verbs() {
  static const std::map<std::string, Verb> table{
      {"login", {{"-u", "--username", "-p", "--password"}, {"--password-stdin"}, 0, 1, "login [--username NAME] [--password-stdin] [SERVER]", do_login}},
      {"logout", {{}, {}, 0, 1, "logout [SERVER]", do_logout}},
      {"ls-tags", {{}, {"--json"}, 1, 1, "ls-tags [--json] REPOSITORY", do_tags}},
      {"digest", {{}, {}, 1, 1, "digest NAME", do_digest}},
      {"copy", {{"--platform", "--progress"}, {}, 2, 2, "copy [--platform OS/ARCH] docker://NAME|oci:FOLDER[:TAG] docker://NAME|oci:FOLDER[:TAG]", do_copy}},
      {"compose-publish", {{"--compose-version", "--oci-version", "--image"}, {}, 1, 1, "compose-publish [--oci-version 1.0|1.1] [--image NAME]... NAME", do_publish}},
      {"history", {{}, {"--json", "--no-trunc"}, 1, 1, "history [--json] [--no-trunc] NAME", do_history}},
      {"df", {{}, {"--json"}, 0, 0, "df [--json]", do_df}},
  };
  return table;
}

}  // namespace engine::registry
