#include "engine/build/compose_file.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/build/git.h"
#include "engine/build/session.h"
#include "engine/build/tree.h"
#include "engine/registry/compose_artifact.h"
#include "engine/store/store.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;

constexpr const char* file_names[] = {"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"};

fs::path kept_root() { return paths::state_dir() / "compose-files"; }

/// A copy nobody asked for in this time goes, unless a container mounts something of it.
constexpr std::chrono::days kept_for{30};
constexpr std::string_view leaving = ".leaving-";

/// Whether a container's spec names the folder: its files are mounted there.
bool mounted(const std::vector<store::ContainerRecord>& containers, const std::string& name) {
  return std::any_of(containers.begin(), containers.end(),
                     [&](const auto& container) { return container.spec_json.find(name) != std::string::npos; });
}

/// Notes the use of a copy and lets old ones go. Best effort: a copy too many costs nothing but its size.
void tidy(const fs::path& used) {
  std::error_code ignored;
  const auto now = fs::file_time_type::clock::now();
  fs::last_write_time(used, now, ignored);
  auto store = store::Store::open();
  if (!store) return;
  const auto containers = store->containers();
  if (!containers) return;
  prune_compose_files(used.parent_path(), now - kept_for, [&](const std::string& name) { return mounted(*containers, name); });
}

/// Moves a finished folder to where it stays; one that is there already is the same.
Result<fs::path> keep(const fs::path& folder, const std::string& name) {
  const fs::path kept = kept_root() / name;
  std::error_code failed;
  fs::create_directories(kept_root(), failed);
  fs::permissions(kept_root(), fs::perms::owner_all, failed);
  fs::rename(folder, kept, failed);
  if (failed && !fs::is_directory(kept)) return base::errno_error(failed.value(), "keep " + kept.string());
  tidy(kept);
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
  ASSIGN_OR_RETURN(const GitCheckout checkout, fetch_git(session, source));
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

void prune_compose_files(const fs::path& root, fs::file_time_type unused_since, const std::function<bool(const std::string&)>& needed) {
  std::error_code failed;
  std::vector<fs::path> old;
  for (const auto& folder : fs::directory_iterator(root, failed)) {
    const std::string name = folder.path().filename();
    std::error_code unknown;
    const auto used = folder.last_write_time(unknown);
    if (name.starts_with(leaving) || (!unknown && used < unused_since && !needed(name))) old.push_back(folder.path());
  }
  for (const fs::path& folder : old) {
    // Under another name first: a copy is whole or not there.
    fs::path gone = folder;
    if (const std::string name = folder.filename(); !name.starts_with(leaving)) {
      gone.replace_filename(std::string(leaving) + name);
      fs::rename(folder, gone, failed);
      if (failed) continue;
    }
    fs::remove_all(gone, failed);
  }
}

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
