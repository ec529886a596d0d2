#include "engine/files/copy.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/containers/user.h"
#include "engine/files/place.h"
#include "engine/files/view.h"
#include "engine/registry/tar_pipe.h"

namespace engine::files {

using base::ErrorKind;
using base::Fd;
using base::make_error;
using registry::ByteSink;
using registry::ByteSource;

namespace {

constexpr registry::PackOptions as_it_is{.gzip = false, .layer = false, .clamp_mtime_s = {}};

ByteSink to_descriptor(Fd output) {
  return [output](std::string_view bytes) { return base::sys::write_all(output, bytes); };
}

Result<> pack_source(const Source& source, const std::string& as, const ByteSink& sink) {
  TRY(registry::pack_entry(source.parent.borrow(), source.name, as, sink, as_it_is));
  return {};
}

Result<> unpack_into(Fd folder, const ByteSource& tar, const registry::UnpackOptions& options) {
  TRY(registry::unpack(tar, folder, options));
  return {};
}

/// Docker's words for a mount that takes no writes, before anything is tried.
Result<> check_writable(Fd root, Fd folder) {
  struct statvfs there {};
  TRY(base::sys::wrap("statvfs", ::fstatvfs(folder.number(), &there)));
  if ((there.f_flag & ST_RDONLY) == 0) return {};
  struct stat of_root {}, of_folder {};
  TRY(base::sys::wrap("stat", ::fstat(root.number(), &of_root)));
  TRY(base::sys::wrap("stat", ::fstat(folder.number(), &of_folder)));
  return make_error(ErrorKind::permission, of_root.st_dev == of_folder.st_dev ? "container rootfs is marked read-only"
                                                                              : "mounted volume is marked read-only");
}

/// --archive: whom the files belong to in the container; its own user, when it has one.
Result<> give_to_user(const Subject& subject, Fd root, registry::UnpackOptions& unpack) {
  const auto& user = subject.spec.user.empty() ? subject.image.config.user : subject.spec.user;
  if (user.empty()) return {};
  ASSIGN_OR_RETURN(const auto accounts, containers::read_accounts(root));
  ASSIGN_OR_RETURN(const auto who, containers::identify(user, {}, accounts));
  unpack.keep_owner = false;
  unpack.uid = who.uid;
  unpack.gid = who.gid;
  return {};
}

}  // namespace

Result<> copy_in(store::Store& store, const std::string& container, const std::string& source, const std::string& target, Fd input,
                 const CopyOptions& options) {
  ASSIGN_OR_RETURN(const auto subject, find(store, container));
  ASSIGN_OR_RETURN(const auto root, open_view(store, subject));
  const Side there{.root = root.borrow(), .container = subject.record.id};
  const auto to = written(target, "/");
  registry::UnpackOptions unpack{.whiteouts = registry::Whiteouts::literal, .keep_kinds = true};
  if (options.as_user) TRY(give_to_user(subject, root.borrow(), unpack));
  if (source == "-") {
    ASSIGN_OR_RETURN(const auto folder, find_folder(there, to));
    TRY(check_writable(root.borrow(), folder.borrow()));
    return unpack_into(folder.borrow(), [input](std::span<char> into) { return base::sys::read(input, into); }, unpack);
  }
  ASSIGN_OR_RETURN(const auto from, find_source({}, written(source, options.current_folder), options.follow_link));
  ASSIGN_OR_RETURN(const auto place, find_target(there, to, from.directory));
  TRY(check_writable(root.borrow(), place.folder.borrow()));
  return registry::tar_pipe([&](const ByteSink& sink) { return pack_source(from, place.rename.empty() ? from.base : place.rename, sink); },
                            [&](const ByteSource& tar) { return unpack_into(place.folder.borrow(), tar, unpack); });
}

Result<> copy_out(store::Store& store, const std::string& container, const std::string& source, const std::string& target, Fd output,
                  const CopyOptions& options) {
  ASSIGN_OR_RETURN(const auto subject, find(store, container));
  ASSIGN_OR_RETURN(const auto root, open_view(store, subject));
  const Side there{.root = root.borrow(), .container = subject.record.id};
  ASSIGN_OR_RETURN(const auto from, find_source(there, written(source, "/"), options.follow_link));
  if (target == "-") return pack_source(from, from.base, to_descriptor(output));
  ASSIGN_OR_RETURN(const auto place, find_target({}, written(target, options.current_folder), from.directory));
  const registry::UnpackOptions unpack{.whiteouts = registry::Whiteouts::literal, .keep_owner = false, .uid = ::geteuid(), .gid = ::getegid(),
                                       .keep_kinds = true};
  return registry::tar_pipe([&](const ByteSink& sink) { return pack_source(from, place.rename.empty() ? from.base : place.rename, sink); },
                            [&](const ByteSource& tar) { return unpack_into(place.folder.borrow(), tar, unpack); });
}

Result<> export_root(store::Store& store, const std::string& container, Fd output) {
  ASSIGN_OR_RETURN(const auto subject, find(store, container));
  ASSIGN_OR_RETURN(const auto root, open_own_root(subject));
  TRY(registry::pack(root.borrow(), to_descriptor(output), as_it_is));
  return {};
}

}  // namespace engine::files
