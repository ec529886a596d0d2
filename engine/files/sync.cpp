#include "engine/files/sync.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <filesystem>

#include "base/sys.h"
#include "engine/files/place.h"
#include "engine/files/view.h"
#include "engine/registry/tar_pipe.h"

namespace engine::files {

using base::ErrorKind;
using base::Fd;

namespace {

constexpr registry::PackOptions as_it_is{.gzip = false, .layer = false, .clamp_mtime_s = {}};

Result<> remove(const Side& there, const std::string& path) {
  auto place = locate(there, path, false);
  if (!place && place.error().kind == ErrorKind::not_found) return {};
  if (!place) return std::move(place).error();
  if (!place->info) return {};
  return base::sys::remove_tree("/proc/self/fd/" + std::to_string(place->parent.number()) + "/" + place->name);
}

Result<> write(Fd root, const SyncItem& item, const std::string& path) {
  const std::filesystem::path host = item.host;
  ASSIGN_OR_RETURN(const auto folder, base::sys::open(host.parent_path(), O_PATH | O_DIRECTORY));
  const registry::UnpackOptions unpack{.whiteouts = registry::Whiteouts::literal, .keep_owner = false, .uid = 0, .gid = 0};
  return registry::tar_pipe(
      [&](const registry::ByteSink& sink) -> Result<> {
        TRY(registry::pack_entry(folder.borrow(), host.filename().string(), path.substr(1), sink, as_it_is));
        return {};
      },
      [&](const registry::ByteSource& tar) -> Result<> {
        TRY(registry::unpack(tar, root, unpack));
        return {};
      });
}

}  // namespace

Result<> sync(store::Store& store, const std::string& container, const std::vector<SyncItem>& items) {
  ASSIGN_OR_RETURN(const auto subject, find(store, container));
  ASSIGN_OR_RETURN(const auto root, open_view(store, subject));
  const Side there{.root = root.borrow(), .container = subject.record.id};
  for (const auto& item : items) {
    const auto path = written(item.target, "/").path;
    if (path == "/") return base::make_error(ErrorKind::invalid, "'" + item.target + "' is no file of a container");
    struct stat info {};
    if (::lstat(item.host.c_str(), &info) != 0) {
      TRY(remove(there, path).with("removing " + path));
    } else if (!S_ISDIR(info.st_mode)) {
      TRY(write(root.borrow(), item, path).with("copying " + item.host));
    }
  }
  return {};
}

}  // namespace engine::files
