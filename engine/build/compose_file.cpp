#include "engine/build/compose_file.h"

#include <fcntl.h>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/build/git.h"
#include "engine/build/session.h"
#include "engine/build/tree.h"
#include "engine/registry/compose_artifact.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;

constexpr const char* file_names[] = {"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"};

fs::path kept_root() { return paths::state_dir() / "compose-files"; }

/// Moves a finished folder to where it stays; one that is there already is the same.
Result<fs::path> keep(const fs::path& folder, const std::string& name) {
  const fs::path kept = kept_root() / name;
  std::error_code failed;
  fs::create_directories(kept_root(), failed);
  fs::permissions(kept_root(), fs::perms::owner_all, failed);
  fs::rename(folder, kept, failed);
  if (failed && !fs::is_directory(kept)) return base::errno_error(failed.value(), "keep " + kept.string());
  return kept;
}

/// The Compose file `path` names in a checkout: itself, or the one in the folder it is. Never outside of `root`.
Result<fs::path> compose_file_in(const fs::path& root, const std::string& path) {
  ASSIGN_OR_RETURN(const base::UniqueFd fd, base::sys::open(root, O_RDONLY | O_DIRECTORY));
  if (!path.empty() && !open_in_root(fd.borrow(), path, O_PATH | O_DIRECTORY)) {
    if (open_in_root(fd.borrow(), path, O_PATH)) return root / path;
    return base::make_error(base::ErrorKind::not_found, "the repository has no " + path);
  }
  for (const char* name : file_names) {
    const std::string candidate = path.empty() ? name : path + "/" + name;
    if (open_in_root(fd.borrow(), candidate, O_PATH)) return root / candidate;
  }
  return base::make_error(base::ErrorKind::not_found, "no Compose file in " + (path.empty() ? "the repository" : path));
}

Result<fs::path> from_git(const std::string& reference) {
  ASSIGN_OR_RETURN(GitSource source, parse_git(reference.starts_with("github.com/") ? "https://" + reference : reference));
  const std::string path = std::exchange(source.folder, "");
  ASSIGN_OR_RETURN(auto session, Session::open());
  ASSIGN_OR_RETURN(const GitCheckout checkout, fetch_git(session, source, false));
  ASSIGN_OR_RETURN(const fs::path kept, keep(checkout.folder, checkout.commit));
  return compose_file_in(kept, path);
}

Result<fs::path> from_registry(const std::string& name) {
  ASSIGN_OR_RETURN(auto session, Session::open());
  ASSIGN_OR_RETURN(const fs::path folder, session.new_folder());
  ASSIGN_OR_RETURN(const std::string digest, registry::fetch_compose_artifact(name, folder));
  ASSIGN_OR_RETURN(const fs::path kept, keep(folder, digest.substr(std::string_view("sha256:").size())));
  return compose_file_in(kept, "");
}

}  // namespace

int run_compose_file(const std::vector<std::string>& arguments) {
  if (arguments.size() != 1) {
    (void)base::sys::write_all(base::Fd(2), "usage: compose-image compose-file REFERENCE\n");
    return 2;
  }
  constexpr std::string_view oci = "oci://";
  const std::string& reference = arguments[0];
  const auto path = reference.starts_with(oci) ? from_registry(reference.substr(oci.size())) : from_git(reference);
  if (!path) {
    (void)base::sys::write_all(base::Fd(2), path.error().text() + "\n");
    return 1;
  }
  (void)base::sys::write_all(base::Fd(1), path->string() + "\n");
  return 0;
}

}  // namespace engine::build
