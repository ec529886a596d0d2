// Layer folders: made, registered, made safe, collected.
#include <dirent.h>
#include <sys/file.h>
#include <unistd.h>

#include <ctime>

#include "base/log.h"
#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/images/image_store.h"

namespace engine::images {

using base::ErrorKind;
using base::UniqueFd;

namespace {

std::filesystem::path locks_dir() { return paths::images() / "locks"; }

Result<UniqueFd> locked(const std::string& name, int operation) {
  TRY(prepare_folders());
  const auto path = locks_dir() / name;
  for (;;) {
    ASSIGN_OR_RETURN(auto fd, base::sys::open(path, O_RDWR | O_CREAT, 0600));
    while (flock(fd.number(), operation) != 0)
      if (errno != EINTR) return base::errno_error(errno, "lock " + path.string());
    // The file may have been collected between open and flock: then it is no longer the one others lock.
    struct stat mine {}, named {};
    if (fstat(fd.number(), &mine) == 0 && stat(path.c_str(), &named) == 0 && mine.st_ino == named.st_ino) return fd;
  }
}

bool settled(const store::LayerRecord& layer) { return layer.boot_id.empty() || layer.boot_id == store::boot_id(); }

/// Names in a folder, without . and ..; a missing folder has none.
std::vector<std::string> names_in(const std::filesystem::path& folder) {
  std::vector<std::string> names;
  std::error_code ignored;
  for (std::filesystem::directory_iterator it(folder, ignored), end; !ignored && it != end; it.increment(ignored))
    names.push_back(it->path().filename().string());
  return names;
}

std::int64_t bytes_of(const std::filesystem::path& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

}  // namespace

Result<> prepare_folders() {
  TRY(base::sys::make_directories(paths::state_dir(), 0711));
  TRY(base::sys::make_directories(paths::layers(), 0711));
  TRY(base::sys::make_directories(paths::images() / "blobs" / "sha256", 0700));
  TRY(base::sys::make_directories(paths::images() / "blobs" / "sha512", 0700));
  TRY(base::sys::make_directories(paths::images() / "partial", 0700));
  TRY(base::sys::make_directories(locks_dir(), 0700));
  const auto layout = paths::images() / "oci-layout";
  if (access(layout.c_str(), F_OK) != 0) TRY(base::sys::replace_file(layout, R"({"imageLayoutVersion":"1.0.0"})"));
  return {};
}

Result<UniqueFd> ImageStore::lease() { return locked("gc", LOCK_SH); }

Result<UniqueFd> ImageStore::lock(const std::string& name) {
  std::string safe = name;
  for (char& c : safe)
    if (c == '/' || c == ':') c = '-';
  return locked(safe, LOCK_EX);
}

Result<std::filesystem::path> ImageStore::new_layer_dir() {
  TRY(prepare_folders());
  auto pattern = (paths::layers() / ".new-XXXXXX").string();
  if (mkdtemp(pattern.data()) == nullptr) return base::errno_error(errno, "make a folder in " + paths::layers().string());
  TRY(base::sys::wrap("chmod " + pattern, chmod(pattern.c_str(), 0755)));
  return std::filesystem::path(pattern);
}

Result<bool> ImageStore::has_layer(const std::string& chain) {
  ASSIGN_OR_RETURN(const auto row, store_->layer(chain));
  return row && settled(*row) && access(layer_dir(chain).c_str(), F_OK) == 0;
}

Result<std::string> ImageStore::add_layer(const std::filesystem::path& unpacked, const NewLayer& layer) {
  const auto chain = chain_id(layer.parent_chain_id, layer.diff_id);
  const auto target = layer_dir(chain);
  ASSIGN_OR_RETURN(const auto guard, lock("chain-" + std::string(digest_hex(chain))));
  ASSIGN_OR_RETURN(const bool there, has_layer(chain));
  if (there) {
    TRY(base::sys::remove_tree(unpacked));
    return chain;
  }
  // A folder without a valid row is what a crash or power cut left.
  TRY(base::sys::remove_tree(target));
  TRY(base::sys::rename(unpacked, target));
  TRY(store_->put_layer({.chain_id = chain, .parent_chain_id = layer.parent_chain_id, .diff_id = layer.diff_id,
                         .blob_digest = layer.blob_digest, .blob_media_type = layer.blob_media_type,
                         .blob_bytes = layer.blob_bytes, .size_bytes = layer.size_bytes, .created = store::now_ns(),
                         .boot_id = store::boot_id()}));
  return chain;
}

Result<> ImageStore::settle() {
  const auto before = store::now_ns();  // what others add while the disk works is not covered
  for (const auto& folder : {paths::layers(), paths::images()}) {
    ASSIGN_OR_RETURN(const auto dir, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
    TRY(base::sys::wrap("syncfs " + folder.string(), syncfs(dir.number())));
  }
  TRY(store_->settle_layers(store::boot_id(), before));
  return remove_leftovers();
}

Result<> ImageStore::remove_leftovers() {
  const auto guard = locked("gc", LOCK_EX | LOCK_NB);
  if (!guard) return {};  // somebody works: what looks left over may be theirs
  for (const auto& name : names_in(paths::layers())) {
    if (!name.starts_with(".new-")) {
      ASSIGN_OR_RETURN(const auto row, store_->layer("sha256:" + name));
      if (row) continue;
    }
    TRY(base::sys::remove_tree(paths::layers() / name));
  }
  for (const auto& name : names_in(paths::images() / "partial"))
    if (name.starts_with("new-")) TRY(base::sys::unlink(paths::images() / "partial" / name));
  return {};
}

void settle_in_background() {
  auto program = base::find_program("compose-image");
  if (!program) return;
  base::SpawnOptions options{.program = *program, .arguments = {"compose-image", "settle"}, .environment = std::nullopt,
                             .working_dir = "/", .fds = {}, .new_session = true};
  auto child = base::ChildProcess::spawn(options);
  if (child) {
    (void)child->detach();
  } else {
    base::log::debug("images", child.error().text());
  }
}

Result<std::int64_t> ImageStore::collect_garbage() {
  auto guard = locked("gc", LOCK_EX | LOCK_NB);
  if (!guard) {
    if (guard.error().number == EWOULDBLOCK) return std::int64_t{0};  // a pull or build needs what looks unused
    return std::move(guard).error();
  }
  std::int64_t freed = 0;
  std::set<std::string> keep_layers, keep_blobs;
  {
    ASSIGN_OR_RETURN(auto transaction, store_->begin());
    ASSIGN_OR_RETURN(const auto unused, store_->unused_layers());
    for (const auto& layer : unused) {
      freed += layer.size_bytes;
      TRY(store_->remove_layer(layer.chain_id));
    }
    ASSIGN_OR_RETURN(const auto layers, store_->layers());
    for (const auto& layer : layers) {
      keep_layers.emplace(digest_hex(layer.chain_id));
      if (!layer.blob_digest.empty()) keep_blobs.emplace(digest_hex(layer.blob_digest));
    }
    ASSIGN_OR_RETURN(const auto images, store_->images());
    for (const auto& image : images) keep_blobs.emplace(digest_hex(image.manifest_digest));
    ASSIGN_OR_RETURN(const auto references, store_->references());
    for (const auto& reference : references) keep_blobs.emplace(digest_hex(reference.digest));
    TRY(transaction.commit());
  }
  for (const auto& name : names_in(paths::layers()))
    if (!keep_layers.contains(name)) TRY(base::sys::remove_tree(paths::layers() / name));
  for (const char* algorithm : {"sha256", "sha512"}) {
    const auto folder = paths::images() / "blobs" / algorithm;
    for (const auto& name : names_in(folder)) {
      if (keep_blobs.contains(name)) continue;
      freed += bytes_of(folder / name);
      TRY(base::sys::unlink(folder / name));
    }
  }
  // A partial download is worth keeping for a day: the next pull goes on where it stopped.
  constexpr std::int64_t partial_age_s = 24 * 3600;
  for (const auto& name : names_in(paths::images() / "partial")) {
    const auto path = paths::images() / "partial" / name;
    struct stat info {};
    // "new-…" has no name yet to go on under, and its maker, who held a lease, is gone.
    const bool resumable = !name.starts_with("new-");
    if (lstat(path.c_str(), &info) != 0 || (resumable && info.st_mtime + partial_age_s > std::time(nullptr))) continue;
    freed += info.st_size;
    TRY(base::sys::remove_tree(path));
  }
  for (const auto& name : names_in(locks_dir()))
    if (name != "gc") TRY(base::sys::unlink(locks_dir() / name));
  return freed;
}

}  // namespace engine::images
