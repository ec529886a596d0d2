#pragma once
// Images as files: docker-archive and oci-archive (load, save) and plain root file systems (import).
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/registry/progress.h"
#include "engine/store/store.h"

namespace engine::registry {

using base::Result;

struct Loaded {
  std::string id;
  std::vector<std::string> references;   ///< normalised; may be empty
};
/// Reads a docker-archive or oci-archive (tar; itself gzip, zstd, xz or plain) from `input`, or an OCI layout folder.
/// Errors: invalid (neither; malformed; digests do not match), exhausted.
Result<std::vector<Loaded>> load(store::Store& store, base::Fd input, const ProgressSink& progress);
struct LayoutOptions {
  ProgressSink progress;
  bool keep_names = true;                ///< false: the images get no names
  std::string tag, digest;               ///< only the images so called; "" = all
};
Result<std::vector<Loaded>> load_layout(store::Store& store, const std::filesystem::path& folder, const LayoutOptions& options);
/// Writes a tar that is both: OCI layout (index.json, blobs/) and docker-archive (manifest.json).
Result<> save(store::Store& store, const std::vector<std::string>& names, base::Fd output);

struct ImportOptions {
  std::string reference;                 ///< "" = leave it without a name
  std::vector<std::string> changes;      ///< Dockerfile instructions for the config: CMD ENTRYPOINT ENV EXPOSE LABEL USER VOLUME WORKDIR STOPSIGNAL
  std::string message;                   ///< history comment
  std::string platform;                  ///< "" = this machine's
  ProgressSink progress;
};
/// A root file system as an image of one layer: from a tar (any supported compression) or a directory.
Result<Loaded> import_tar(store::Store& store, base::Fd input, const ImportOptions& options);
Result<Loaded> import_directory(store::Store& store, const std::filesystem::path& folder, const ImportOptions& options);

}  // namespace engine::registry
