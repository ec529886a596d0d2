// Where the kernel enters compose-runtime: the second execve of self_protection.h, done before the C library has set itself up. That
// setup is most of a short program's time (cpuid traps in every virtual machine, each some 20 µs), and the image is thrown away at
// once. Nothing here may need it: no library calls, no thread-local storage, no constructors, and no loop the compiler may turn into
// a call of strlen or memset, which are chosen at run time. Whatever fails here is left to protect_own_file() in main().
#if defined(__x86_64__)

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mman.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#include "runtime/linux/self_protection.h"

#define BEFORE_LIBC __attribute__((no_stack_protector, optimize("no-tree-loop-distribute-patterns"), no_sanitize("address", "undefined")))

namespace {

BEFORE_LIBC inline long call(long number, long first, long second = 0, long third = 0, long fourth = 0, long fifth = 0) {
  long result;
  register long r10 asm("r10") = fourth;
  register long r8 asm("r8") = fifth;
  asm volatile("syscall" : "=a"(result) : "a"(number), "D"(first), "S"(second), "d"(third), "r"(r10), "r"(r8) : "rcx", "r11", "memory");
  return result;
}

inline long address(const void* at) { return reinterpret_cast<long>(at); }

BEFORE_LIBC bool equal(const char* left, const char* right) {
  while (*left && *left == *right) ++left, ++right;
  return *left == *right;
}

/// Only these verbs execute foreign programs.
BEFORE_LIBC bool starts_containers(char** word) {
  for (; *word; ++word)
    if (equal(*word, "create") || equal(*word, "run") || equal(*word, "exec")) return true;
  return false;
}

}  // namespace

/// `stack` as the kernel left it: the number of arguments, they, a null pointer, the environment. System V ABI, "Initial stack".
extern "C" BEFORE_LIBC __attribute__((used)) void compose_runtime_before_libc(long* stack) {
  char** const arguments = reinterpret_cast<char**>(stack + 1);
  char** const environment = arguments + stack[0] + 1;
  if (stack[0] < 2 || !starts_containers(arguments + 1)) return;
  const long self = call(SYS_openat, AT_FDCWD, address("/proc/self/exe"), O_RDONLY | O_CLOEXEC);
  if (self < 0) return;
  struct statfs about;
  const bool known = call(SYS_fstatfs, self, address(&about)) == 0;
  runtime::own_file_out_of_reach = known && (about.f_flags & ST_RDONLY) != 0;
  const bool sealed = call(SYS_fcntl, self, F_GET_SEALS) > 0;  // in memory, by protect_own_file()
  if (known && !sealed && !runtime::own_file_out_of_reach) {
    const long tree = call(SYS_open_tree, self, address(""), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (tree >= 0) {
      mount_attr attributes;
      attributes.attr_set = MOUNT_ATTR_RDONLY;
      attributes.attr_clr = attributes.propagation = attributes.userns_fd = 0;
      if (call(SYS_mount_setattr, tree, address(""), AT_EMPTY_PATH, address(&attributes), sizeof attributes) == 0)
        (void)call(SYS_execveat, tree, address(""), address(arguments), address(environment), AT_EMPTY_PATH);
      (void)call(SYS_close, tree);
    }
  }
  (void)call(SYS_close, self);
}

// The registers the C library's own entry looks at: the stack pointer and rdx.
asm(R"(
  .text
  .globl compose_runtime_entry
  .type compose_runtime_entry, @function
compose_runtime_entry:
  .cfi_startproc
  .cfi_undefined rip
  xor %ebp, %ebp
  mov %rdx, %r12
  mov %rsp, %rdi
  call compose_runtime_before_libc
  mov %r12, %rdx
  jmp _start
  .cfi_endproc
  .size compose_runtime_entry, . - compose_runtime_entry
)");

#endif
