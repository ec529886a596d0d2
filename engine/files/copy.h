#pragma once
// Files into and out of containers: `cp`, `export`, and `commit`, which makes an image of what a container changed.
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/store/store.h"

namespace engine::files {

using base::Result;

struct CopyOptions {
  bool follow_link = false;            ///< a link named as the source means what it leads to
  bool as_user = false;                ///< into a container: everything belongs to its user (`cp --archive`)
  std::string current_folder;          ///< what relative paths of this machine start from
};

/// Copies `source` of this machine ("-": a tar from `input`) to `target` in the container. Owners, modes, times, extended attributes and
/// hard links are kept. Errors in Docker's words, kinds as in place.h; exists (a folder in the way of a file, or the reverse).
Result<> copy_in(store::Store& store, const std::string& container, const std::string& source, const std::string& target, base::Fd input,
                 const CopyOptions& options);
/// The reverse ("-": a tar to `output`). On this machine everything belongs to the caller.
Result<> copy_out(store::Store& store, const std::string& container, const std::string& source, const std::string& target, base::Fd output,
                  const CopyOptions& options);

/// The root of a running container as a tar, without volumes and other mounts. Error unavailable: it does not run.
Result<> export_root(store::Store& store, const std::string& container, base::Fd output);

struct CommitOptions {
  std::string reference;               ///< "" = no name
  std::string author, message;
  std::vector<std::string> changes;    ///< Dockerfile instructions for the config
};
/// An image of the container's image, its writable layer and its config. The caller has paused it, if it wants a consistent look.
/// Returns the image id. Errors: invalid (reference, change), as export_root.
Result<std::string> commit(store::Store& store, const std::string& container, const CommitOptions& options);

}  // namespace engine::files
