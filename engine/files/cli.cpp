#include "engine/files/cli.h"

#include <fcntl.h>

#include <filesystem>

#include "base/sys.h"
#include "engine/files/copy.h"
#include "engine/files/sync.h"
#include "engine/registry/cli_parts.h"

namespace engine::files {

using registry::Arguments;
using registry::Reporter;
using registry::Verb;

namespace {

CopyOptions copy_options(const Arguments& arguments) {
  std::error_code ignored;
  return {.follow_link = arguments.has("--follow-link"), .as_user = arguments.has("--as-user"),
          .current_folder = std::filesystem::current_path(ignored).string()};
}

Result<int> do_copy_in(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  const auto& words = arguments.operands;
  TRY(copy_in(store, words[0], words[1], words[2], base::Fd(0), copy_options(arguments)));
  return 0;
}

Result<int> do_copy_out(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  const auto& words = arguments.operands;
  TRY(copy_out(store, words[0], words[1], words[2], base::Fd(1), copy_options(arguments)));
  return 0;
}

Result<int> do_export(const Arguments& arguments, const Reporter&) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  const auto path = arguments.get("--output");
  if (path.empty()) {
    TRY(export_root(store, arguments.operands[0], base::Fd(1)));
    return 0;
  }
  // Whoever reads the file finds the whole archive or none.
  const auto partial = path + ".partial";
  ASSIGN_OR_RETURN(const auto file, base::sys::open(partial, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0600));
  auto done = export_root(store, arguments.operands[0], file.borrow());
  if (done) done = base::sys::rename(partial, path);
  if (!done) {
    (void)base::sys::unlink(partial);
    return std::move(done).error();
  }
  return 0;
}

Result<int> do_commit(const Arguments& arguments, const Reporter& reporter) {
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  CommitOptions options{.reference = arguments.operands.size() > 1 ? arguments.operands[1] : "", .author = arguments.get("--author"),
                        .message = arguments.get("--message"), .changes = {}};
  if (arguments.has("--change")) options.changes = arguments.options.at("--change");
  ASSIGN_OR_RETURN(const auto id, commit(store, arguments.operands[0], options));
  return reporter.result({{"id", id}}, id);
}

Result<int> do_sync(const Arguments& arguments, const Reporter&) {
  const auto& words = arguments.operands;
  if (words.size() % 2 == 0) return base::make_error(base::ErrorKind::invalid, "container-sync: a file without its target");
  ASSIGN_OR_RETURN(auto store, store::Store::open());
  std::vector<SyncItem> items;
  for (std::size_t i = 1; i < words.size(); i += 2) items.push_back({.host = words[i], .target = words[i + 1]});
  TRY(sync(store, words[0], items));
  return 0;
}

const std::map<std::string, Verb>& verbs() {
  static const std::map<std::string, Verb> table{
      {"container-copy-in", {{"--progress"}, {"--follow-link", "--as-user"}, 3, 3,
                             "container-copy-in [--follow-link] [--as-user] CONTAINER SOURCE|- TARGET", do_copy_in}},
      {"container-copy-out", {{"--progress"}, {"--follow-link"}, 3, 3, "container-copy-out [--follow-link] CONTAINER SOURCE TARGET|-", do_copy_out}},
      {"container-sync", {{"--progress"}, {}, 3, 100'000, "container-sync CONTAINER FILE TARGET [FILE TARGET]...", do_sync}},
      {"container-export", {{"--output", "--progress"}, {}, 1, 1, "container-export [--output FILE] CONTAINER", do_export}},
      {"container-commit", {{"--author", "--message", "--change", "--progress"}, {}, 1, 2,
                            "container-commit [--author TEXT] [--message TEXT] [--change INSTRUCTION]... CONTAINER [NAME]", do_commit}},
  };
  return table;
}

}  // namespace

std::optional<int> run_command(const std::string& verb, const std::vector<std::string>& arguments) {
  const auto found = verbs().find(verb);
  if (found == verbs().end()) return std::nullopt;
  return registry::run_verb(found->second, arguments);
}

}  // namespace engine::files
