#include "engine/supervisor/runtime_call.h"

#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/supervisor/network_json.h"

namespace engine::supervisor {
namespace {

/// A detached, read-only mount of one file. Source: open_tree(2), mount_setattr(2).
base::Result<base::UniqueFd> read_only_mount(const std::filesystem::path& file) {
  ASSIGN_OR_RETURN(const long number, base::sys::wrap("open_tree", ::syscall(SYS_open_tree, AT_FDCWD, file.c_str(),
                                                                             OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC)));
  base::UniqueFd mount(static_cast<int>(number));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  TRY(base::sys::wrap("mount_setattr", ::syscall(SYS_mount_setattr, mount.number(), "", AT_EMPTY_PATH, &attributes, sizeof attributes)));
  return mount;
}

}  // namespace

base::Result<Runtime> Runtime::open() {
  Runtime runtime;
  ASSIGN_OR_RETURN(const auto file, base::find_program("compose-runtime"));
  runtime.program_ = file.string();
  runtime.root_ = paths::runtime_root().string();
  TRY(base::sys::make_directories(paths::runtime_root(), 0711));
  // Without the mount (no privilege) the program makes one itself at each start, which only costs time.
  if (auto mount = read_only_mount(file)) {
    runtime.mount_ = *std::move(mount);
    runtime.program_ = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(runtime.mount_.number());
  }
  return runtime;
}

bool Runtime::knows(const std::string& id) const { return ::access((root_ + "/" + id).c_str(), F_OK) == 0; }

base::Result<> Runtime::run(const RuntimeCall& call) const {
  base::SpawnOptions options;
  options.program = program_;
  options.arguments = {"compose-runtime", "--root", root_, "--command-codes"};
  // Its words are taken from memory: what failed may be that no file can be written.
  base::UniqueFd words;
  std::string words_path;
  if (!call.log.empty()) {
    ASSIGN_OR_RETURN(words, base::sys::memfd_create("runtime.log", 0));
    words_path = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(words.number());
    options.arguments.insert(options.arguments.end(), {"--log", words_path, "--log-format", "json"});
  }
  options.arguments.insert(options.arguments.end(), call.words.begin(), call.words.end());
  options.fds = call.fds;
  options.working_dir = "/";
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  ASSIGN_OR_RETURN(const auto status, child.wait(std::chrono::milliseconds(call.limit)));
  std::string log;
  struct stat info {};
  if (words.valid() && ::fstat(words.number(), &info) == 0 && info.st_size > 0) {
    if (auto said = base::sys::read_file(words_path)) log = *std::move(said);
    (void)base::sys::write_file(call.log, log);  // for people
  }
  if (status.code == 0) return {};
  auto text = last_runtime_error(log);
  if (text.empty()) text = "compose-runtime " + call.words.front() + " ended with status " + std::to_string(status.code);
  const auto kind = status.code == 127   ? base::ErrorKind::not_found
                    : status.code == 126 ? base::ErrorKind::permission
                                         : base::ErrorKind::io;
  return base::make_error(kind, text);
}

}  // namespace engine::supervisor
