#include "engine/build/git.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <unistd.h>

#include <map>

#include "base/process.h"
#include "base/sys.h"
#include "engine/build/ignore.h"
#include "engine/build/tree.h"
#include "engine/build/words.h"
#include "engine/registry/encoding.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;

Result<fs::path> find_git() {
  for (const char* path : {"/usr/bin/git", "/usr/local/bin/git", "/bin/git"})
    if (::access(path, X_OK) == 0) return fs::path(path);
  return base::make_error(base::ErrorKind::unsupported, "git repositories need git, which is not installed");
}

/// Runs git in `folder`; returns its output. Nothing of the user's set-up that runs programs is used, nobody is asked for passwords.
Result<std::string> git(const fs::path& folder, std::vector<std::string> arguments) {
  ASSIGN_OR_RETURN(const fs::path program, find_git());
  ASSIGN_OR_RETURN(auto out, base::sys::pipe());
  base::SpawnOptions options;
  // The builder runs with a umask of 0, which would make every file of the checkout writable for all.
  options.program = "/bin/sh";
  options.arguments = {"sh", "-c", "umask 022; exec \"$0\" \"$@\"", program.string(), "-c", "protocol.ext.allow=never",
                       "-c", "protocol.file.allow=user", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false", "-c", "core.logAllRefUpdates=false"};
  options.arguments.insert(options.arguments.end(), arguments.begin(), arguments.end());
  std::vector<std::string> env = {"GIT_TERMINAL_PROMPT=0", "LC_ALL=C"};
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("GIT_") && !std::string_view(*entry).starts_with("LC_")) env.emplace_back(*entry);
  options.environment = std::move(env);
  options.working_dir = folder;
  options.fds = {{out.second.borrow(), 1}, {out.second.borrow(), 2}};
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  out.second.reset();
  std::string text;
  std::vector<char> buffer(16 * 1024);
  while (true) {
    ASSIGN_OR_RETURN(const std::size_t got, base::sys::read(out.first.borrow(), buffer));
    if (got == 0) break;
    text.append(buffer.data(), got);
    if (text.size() > 1u << 20) text.erase(0, text.size() / 2);  // only its last words are of interest
  }
  ASSIGN_OR_RETURN(const auto status, child.wait());
  while (!text.empty() && text.back() == '\n') text.pop_back();
  if (status.code == 0) return text;
  const std::size_t line = text.rfind('\n');
  return base::make_error(base::ErrorKind::unavailable, "git " + arguments.front() + ": " + (line == std::string::npos ? text : text.substr(line + 1)));
}

bool is_commit(const std::string& text) {
  return text.size() == 40 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

bool is_web(const std::string& text) { return text.starts_with("http://") || text.starts_with("https://"); }

/// "user@host:path", as scp writes it.
bool is_scp(const std::string& text) {
  const auto name = [](const std::string& part, const char* others) {
    return !part.empty() && std::all_of(part.begin(), part.end(), [&](unsigned char c) { return std::isalnum(c) != 0 || std::strchr(others, c) != nullptr; });
  };
  const std::size_t at = text.find('@'), colon = text.find(':');
  return at < colon && colon != std::string::npos && name(text.substr(0, at), "_-") && name(text.substr(at + 1, colon - at - 1), ".-");
}

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// A key or value of a query.
std::string decoded(std::string text) {
  std::replace(text.begin(), text.end(), '+', ' ');
  return registry::percent_decoded(text);
}

Result<> agree(const char* what, std::string& field, const std::string& value) {
  if (!field.empty() && field != value) return invalid(std::string(what) + " conflicts: \"" + field + "\" vs \"" + value + "\"");
  field = value;
  return {};
}

Result<bool> switched(const std::string& key, const std::string& value) {
  if (value.empty()) return true;
  if (const auto on = parse_bool(value)) return *on;
  return invalid("invalid " + key + " value: \"" + value + "\"");
}

/// "ref=x&subdir=y": the keys of BuildKit's query form, in its words.
Result<> read_query(const std::string& query, GitSource& source) {
  std::map<std::string, std::string> values;
  for (std::size_t start = 0; start < query.size();) {
    const std::size_t end = std::min(query.find('&', start), query.size());
    const std::string pair = query.substr(start, end - start);
    start = end + 1;
    if (pair.empty()) continue;
    const std::size_t equals = pair.find('=');
    const std::string key = decoded(pair.substr(0, equals));
    const bool added = values.try_emplace(key, equals == std::string::npos ? "" : decoded(pair.substr(equals + 1))).second;
    if (!added) return invalid("query \"" + key + "\" has multiple values");
  }
  const auto prefixed = [](const std::string& prefix, const std::string& name) { return name.starts_with(prefix) ? name : prefix + name; };
  std::string tag, branch;
  for (const auto& [key, value] : values) {
    const bool flag = key == "submodules" || key == "keep-git-dir";
    if (value.empty() && !flag) return invalid("query \"" + key + "\" has no value");
    if (key == "ref") TRY(agree("ref", source.reference, value));
    else if (key == "subdir") TRY(agree("subdir", source.folder, value));
    else if (key == "tag") tag = prefixed("refs/tags/", value);
    else if (key == "branch") branch = prefixed("refs/heads/", value);
    else if (key == "checksum" || key == "commit") source.checksum = value;
    else if (!flag) return invalid("unexpected query \"" + key + "\"");
    if (flag) {
      ASSIGN_OR_RETURN(const bool on, switched(key, value));
      (key == "submodules" ? source.submodules : source.keep_git_dir) = on;
    }
  }
  if (!tag.empty() && !branch.empty()) return invalid("branch conflicts with tag");
  if (!tag.empty()) TRY(agree("ref", source.reference, tag));
  if (!branch.empty()) TRY(agree("ref", source.reference, branch));
  return {};
}

/// In a .git that stays, the branch or tag that was asked for names the commit, for `git describe` and its kin; as BuildKit leaves
/// it, a branch is a tag as well. What tells of the fetch itself goes.
Result<> name_commit(const fs::path& root) {
  ASSIGN_OR_RETURN(const std::string fetched, base::sys::read_file(root / ".git/FETCH_HEAD", 1u << 20));
  for (const std::string kind : {"branch", "tag"}) {
    const std::string mark = "\t" + kind + " '";
    const std::size_t at = fetched.find(mark), start = at + mark.size();
    if (at == std::string::npos || at > fetched.find('\n')) continue;
    const std::string name = fetched.substr(start, fetched.find('\'', start) - start);
    TRY(git(root, {"update-ref", "refs/tags/" + name, "FETCH_HEAD"}));
    if (kind == "branch") TRY(git(root, {"update-ref", "refs/heads/" + name, "HEAD"}));
  }
  return base::sys::remove_tree(root / ".git/FETCH_HEAD");
}

}  // namespace

bool is_git(const std::string& text) {
  if (text.starts_with("git://") || text.starts_with("ssh://") || is_scp(text)) return true;
  return is_web(text) && text.substr(0, text.find_first_of("?#")).ends_with(".git");
}

Result<GitSource> parse_git(const std::string& text) {
  GitSource source;
  const std::size_t hash = text.find('#');
  source.repository = text.substr(0, hash);
  const std::size_t question = source.repository.find('?');
  std::string query;
  if (question != std::string::npos) {
    query = source.repository.substr(question + 1);
    source.repository.resize(question);
  }
  if (hash != std::string::npos) {
    const std::string rest = text.substr(hash + 1);
    const std::size_t colon = rest.find(':');
    source.reference = rest.substr(0, colon);
    if (colon != std::string::npos) source.folder = rest.substr(colon + 1);
  }
  TRY(read_query(query, source));
  source.folder = clean_path("/" + source.folder).substr(1);
  // A whole commit says what to fetch; the beginning of one only what is expected.
  if (source.reference.empty() && is_commit(source.checksum)) source.reference = source.checksum;
  if (source.repository.starts_with('-') || source.reference.starts_with('-')) return invalid("invalid git repository " + text);
  return source;
}

Result<> expect_commit(GitSource& source, const std::string& checksum) {
  if (checksum.empty()) return {};
  if (!source.checksum.empty() && source.checksum != checksum)
    return invalid("checksum mismatch \"" + checksum + "\" != \"" + source.checksum + "\"");
  source.checksum = checksum;
  if (source.reference.empty() && is_commit(checksum)) source.reference = checksum;
  return {};
}

Result<GitCheckout> fetch_git(Session& session, const GitSource& source) {
  GitCheckout checkout;
  ASSIGN_OR_RETURN(const fs::path root, session.new_folder());
  TRY(git(root, {"init", "-q", "--template="}));
  TRY(git(root, {"remote", "add", "origin", source.repository}));
  const std::string reference = source.reference.empty() ? "HEAD" : source.reference;
  auto fetched = git(root, {"fetch", "-q", "--depth", "1", "--no-tags", "origin", reference});
  // Not every server hands out a commit by its name alone: then all of the history is needed.
  if (!fetched && is_commit(reference)) fetched = git(root, {"fetch", "-q", "--no-tags", "origin"});
  if (!fetched) return std::move(fetched).error();
  TRY(git(root, {"checkout", "-q", is_commit(reference) ? reference : "FETCH_HEAD"}));
  if (source.submodules) TRY(git(root, {"submodule", "update", "-q", "--init", "--recursive", "--depth", "1"}));
  ASSIGN_OR_RETURN(checkout.commit, git(root, {"rev-parse", "HEAD"}));
  if (!source.checksum.empty() && !checkout.commit.starts_with(source.checksum)) {
    // An annotated tag may be meant by its own name.
    const auto object = git(root, {"rev-parse", is_commit(reference) ? reference : "FETCH_HEAD"});
    if (!object || !object->starts_with(source.checksum))
      return invalid("expected checksum to match " + source.checksum + ", got " + checkout.commit);
  }
  if (source.keep_git_dir) TRY(name_commit(root));
  else TRY(base::sys::remove_tree(root / ".git"));
  ASSIGN_OR_RETURN(const base::UniqueFd fd, base::sys::open(root, O_RDONLY | O_DIRECTORY));
  // No links on the way: what a repository's folder is must not depend on where its links lead.
  if (!source.folder.empty() && !base::sys::openat2(fd.borrow(), source.folder, O_PATH | O_DIRECTORY, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS))
    return base::make_error(base::ErrorKind::not_found, "the repository has no folder " + source.folder);
  checkout.folder = source.folder.empty() ? root : root / source.folder;
  return checkout;
}

}  // namespace engine::build
