#pragma once
// Images on this machine: names, configs and unpacked layers. The database is the authority; files without a row are
// garbage, rows are written only after their files are in place.
//   images/blobs/sha256/HEX   compressed layers and manifests as the registry served them (OCI image layout)
//   layers/CHAIN_HEX/         one layer unpacked: overlay whiteouts and opaque marks; immutable
//   images/locks/             flock files: one download or unpack of a thing at a time on the machine
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/images/config.h"
#include "engine/images/reference.h"
#include "engine/store/store.h"

namespace engine::images {

struct Image {
  std::string id;                                ///< "sha256:…"
  ImageConfig config;
  std::vector<std::string> chain_ids;            ///< bottom → top
  std::vector<std::filesystem::path> layer_dirs; ///< bottom → top: overlay's lowerdirs in reverse; empty: FROM scratch
  std::vector<std::string> tags;                 ///< normalised names with a tag
  std::vector<std::string> digests;              ///< normalised names with a digest ("repo digests")
  std::string manifest_digest;
  std::int64_t size_bytes = 0;
  WallNs created = 0, added = 0;
  WallNs referenced = 0;                         ///< last pull or tag of the name it was resolved by; 0 by id
};

/// A row of `images`.
struct Summary {
  std::string id;
  std::vector<std::string> tags, digests;        ///< normalised
  std::string platform;
  std::int64_t size_bytes = 0;
  WallNs created = 0, added = 0;
  Labels labels;
  int containers = 0;                            ///< made from it
};

struct NewImage {
  std::string config_json;                       ///< exact bytes; its sha256 is the id
  std::vector<std::string> chain_ids;            ///< bottom → top, all registered; must match the config's diff_ids
  std::vector<std::string> references;           ///< names to give it; may be empty (dangling)
  std::string manifest_digest;                   ///< when it came from a registry
  std::string served_digest;                     ///< manifest or index digest under the names; makes repo digests
};

struct NewLayer {
  std::string parent_chain_id;                   ///< "" = lowest
  std::string diff_id;
  std::string blob_digest, blob_media_type;      ///< "" = no compressed form kept
  std::int64_t blob_bytes = 0;
  std::int64_t size_bytes = 0;                   ///< unpacked bytes
};

struct Removed {
  std::vector<std::string> untagged;             ///< familiar names
  std::vector<std::string> deleted;              ///< image ids
  std::int64_t freed_bytes = 0;
};

class ImageStore {
 public:
  /// `store` must outlive it. Same threading rule.
  explicit ImageStore(store::Store& store) : store_(&store) {}

  /// By name ("nginx", "nginx:1.25", "repo@sha256:…"), full id, or id prefix (4+ hex digits).
  /// Errors: not_found ("no such image: …"); invalid (not a name; ambiguous prefix).
  Result<Image> resolve(const std::string& name_or_id);
  /// The same by id alone, without parsing names.
  Result<Image> by_id(const std::string& id);
  Result<std::vector<Summary>> list();

  /// Gives `target`, to an index with all its platforms if `source` names one (moved if another image has it). Errors: not_found (source), invalid (target).
  Result<> tag(const std::string& source, const std::string& target);
  struct RemoveOptions {
    bool force = false;                          ///< all its names; used by containers, it goes on without a name until prune
  };
  /// Takes a name away; the image goes with its last one, unless a container uses it. By id: all names. The images of an index's
  /// other platforms go with the last tag of the index.
  /// Errors: not_found; exists ("… is used by container …"; several names and no force).
  Result<Removed> remove(const std::string& name_or_id, RemoveOptions options);
  struct PruneOptions {
    bool all = false;                            ///< also named images no container uses
    std::string label;                           ///< "KEY=VALUE": only images whose config says so; "" = any
  };
  Result<Removed> prune(PruneOptions options);
  /// Deletes layers, blobs and leftovers of dead downloads that nothing needs. Does nothing while a pull or build holds a
  /// lease(). Returns freed bytes.
  Result<std::int64_t> collect_garbage();

  /// Deletes what killed pulls, loads and builds left half made and nobody can go on with. Does nothing while somebody holds a lease().
  Result<> remove_leftovers();

  /// Marks what add_layer wrote so far as safely on the disk (a syncfs, which may take seconds), then removes leftovers.
  /// See settle_in_background.
  Result<> settle();

  /// Registers an image whose layers are in place. Returns its id. One transaction.
  /// Errors: invalid (config; layers do not match diff_ids), not_found (a layer).
  Result<std::string> add(const NewImage& image);
  /// Moves the folder `unpacked` (same file system: make it with new_layer_dir) to layers/ and registers it.
  /// If another process was first, `unpacked` is deleted. Returns the chain id.
  Result<std::string> add_layer(const std::filesystem::path& unpacked, const NewLayer& layer);
  /// True when the layer is registered and its folder is there.
  Result<bool> has_layer(const std::string& chain_id);
  /// An empty folder for unpacking, below layers/; a leftover of a crash is removed by collect_garbage.
  static Result<std::filesystem::path> new_layer_dir();

  /// While held, collect_garbage of any process deletes nothing. Take it before the first new_layer_dir.
  static Result<base::UniqueFd> lease();
  /// Exclusive right, on this machine, to make the thing called `name` (a digest or chain id). Blocks.
  static Result<base::UniqueFd> lock(const std::string& name);

 private:
  Result<Image> load(const store::ImageRecord& record, WallNs referenced);
  Result<std::string> id_of(const std::string& name_or_id, WallNs* referenced);
  Result<> drop(const std::string& id, Removed& removed);
  Result<> drop_platforms(const std::string& index_digest, Removed& removed);
  store::Store* store_;
};

/// Starts `compose-image settle` and does not wait: a pull need not wait for the disk, because a layer that was not synced
/// before a power cut counts as missing afterwards. Call it after add().
void settle_in_background();
/// sha256(parent + " " + diff) as the image-spec says; the diff id itself when there is no parent.
std::string chain_id(const std::string& parent_chain_id, const std::string& diff_id);
/// "sha256:…" of bytes.
std::string sha256_digest(std::string_view bytes);
std::filesystem::path layer_dir(const std::string& chain_id);
std::filesystem::path blob_path(const std::string& digest);
/// Makes images/, layers/ and their subfolders (0711, 0700) and the oci-layout file.
Result<> prepare_folders();
/// "amd64" for x86_64 and so on: this machine in OCI words, e.g. "linux/amd64".
std::string host_platform();

}  // namespace engine::images
