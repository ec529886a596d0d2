#include "runtime/linux/self_protection.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/kernel.h"

namespace runtime {

using base::Fd;
using base::Result;
using base::UniqueFd;
namespace sys = base::sys;

namespace {

constexpr int all_seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;

bool out_of_reach(Fd self) {
  struct statvfs about {};
  if (::fstatvfs(self.number(), &about) == 0 && (about.f_flag & ST_RDONLY)) return true;
  const int seals = ::fcntl(self.number(), F_GET_SEALS);
  return seals >= 0 && (seals & all_seals) == all_seals;
}

/// A read-only clone of the mount our file is on, reduced to the file.
Result<UniqueFd> read_only_clone(Fd self) {
  ASSIGN_OR_RETURN(auto tree, kernel::open_tree(self, "", OPEN_TREE_CLONE | AT_EMPTY_PATH));
  mount_attr attributes{};
  attributes.attr_set = MOUNT_ATTR_RDONLY;
  TRY(kernel::mount_setattr(tree.borrow(), 0, attributes));
  return tree;
}

/// Without the right to mount: a sealed copy in memory.
Result<UniqueFd> sealed_copy(Fd self) {
  ASSIGN_OR_RETURN(auto memory, sys::memfd_create("compose-runtime", MFD_ALLOW_SEALING));
  while (true) {
    ASSIGN_OR_RETURN(const long count, sys::wrap("copying the program", ::sendfile(memory.number(), self.number(), nullptr, 1 << 24)));
    if (count == 0) break;
  }
  TRY(sys::wrap("sealing the program", ::fcntl(memory.number(), F_ADD_SEALS, all_seals)));
  return memory;
}

bool starts_containers(char** argv) {
  // Only these verbs execute foreign programs; the rest saves the half millisecond.
  for (char** word = argv + 1; *word; ++word)
    for (const char* verb : {"create", "run", "exec"})
      if (std::string_view(*word) == verb) return true;
  return false;
}

}  // namespace

bool own_file_out_of_reach = false;

Result<> protect_own_file(char** argv) {
  if (own_file_out_of_reach || !argv[0] || !starts_containers(argv)) return {};
  ASSIGN_OR_RETURN(const auto self, sys::open("/proc/self/exe", O_RDONLY));
  if (out_of_reach(self.borrow())) return {};
  auto copy = read_only_clone(self.borrow());
  if (!copy) copy = sealed_copy(self.borrow());
  if (!copy) return std::move(copy).error();
  (void)::syscall(SYS_execveat, copy->number(), "", argv, environ, AT_EMPTY_PATH);
  return base::errno_error(errno, "executing this program from its read-only mount");
}

}  // namespace runtime
