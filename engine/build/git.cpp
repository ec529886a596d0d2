#include "engine/build/git.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"
#include "engine/build/ignore.h"
#include "engine/build/tree.h"

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
  options.program = program;
  options.arguments = {"git", "-c", "protocol.ext.allow=never", "-c", "protocol.file.allow=user", "-c", "core.hooksPath=/dev/null",
                       "-c", "advice.detachedHead=false"};
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

}  // namespace

bool is_git(const std::string& text) {
  if (text.starts_with("git://") || text.starts_with("git@") || text.starts_with("ssh://")) return true;
  const std::string url = text.substr(0, text.find('#'));
  return (url.starts_with("https://") || url.starts_with("http://")) && url.ends_with(".git");
}

Result<GitSource> parse_git(const std::string& text) {
  GitSource source;
  const std::size_t hash = text.find('#');
  source.repository = text.substr(0, hash);
  if (hash != std::string::npos) {
    const std::string rest = text.substr(hash + 1);
    const std::size_t colon = rest.find(':');
    source.reference = rest.substr(0, colon);
    if (colon != std::string::npos) source.folder = clean_path("/" + rest.substr(colon + 1)).substr(1);
  }
  if (source.repository.starts_with('-') || source.reference.starts_with('-'))
    return base::make_error(base::ErrorKind::invalid, "invalid git repository " + text);
  return source;
}

Result<GitCheckout> fetch_git(Session& session, const GitSource& source, bool keep_git_dir) {
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
  TRY(git(root, {"submodule", "update", "-q", "--init", "--recursive", "--depth", "1"}));
  ASSIGN_OR_RETURN(checkout.commit, git(root, {"rev-parse", "HEAD"}));
  if (!keep_git_dir) TRY(base::sys::remove_tree(root / ".git"));
  ASSIGN_OR_RETURN(const base::UniqueFd fd, base::sys::open(root, O_RDONLY | O_DIRECTORY));
  if (!source.folder.empty() && !open_in_root(fd.borrow(), source.folder, O_PATH | O_DIRECTORY))
    return base::make_error(base::ErrorKind::not_found, "the repository has no folder " + source.folder);
  checkout.folder = source.folder.empty() ? root : root / source.folder;
  return checkout;
}

}  // namespace engine::build
