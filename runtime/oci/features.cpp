// features: runtime-spec features.md. What is listed here is what the code honours; a test compares them.
#include <seccomp.h>

#include "runtime/linux/memory_policy.h"
#include "runtime/linux/mount_plan.h"
#include "runtime/oci/print.h"
#include "runtime/oci/verbs.h"
#include "runtime/spec/capability_names.h"
#include "runtime/spec/json_writer.h"

namespace runtime::oci {

using base::Result;

namespace {

const std::vector<std::string> hook_names{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"};
const std::vector<std::string> namespace_names{"cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"};

void write_seccomp(spec::JsonWriter& out) {
  out.member("enabled", true);
  out.strings("actions", {"SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD",
                          "SCMP_ACT_LOG", "SCMP_ACT_NOTIFY", "SCMP_ACT_TRACE", "SCMP_ACT_TRAP"});
  out.strings("operators", {"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ",
                            "SCMP_CMP_NE"});
  out.strings("archs", {"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPS", "SCMP_ARCH_MIPS64", "SCMP_ARCH_MIPS64N32",
                        "SCMP_ARCH_MIPSEL", "SCMP_ARCH_MIPSEL64", "SCMP_ARCH_MIPSEL64N32", "SCMP_ARCH_PARISC",
                        "SCMP_ARCH_PARISC64", "SCMP_ARCH_PPC", "SCMP_ARCH_PPC64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_RISCV64",
                        "SCMP_ARCH_S390", "SCMP_ARCH_S390X", "SCMP_ARCH_X32", "SCMP_ARCH_X86", "SCMP_ARCH_X86_64"});
  const std::vector<std::string> flags{"SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW", "SECCOMP_FILTER_FLAG_TSYNC",
                                       "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"};
  out.strings("knownFlags", flags).strings("supportedFlags", flags);
}

void write_linux(spec::JsonWriter& out) {
  out.strings("namespaces", namespace_names);
  out.strings("capabilities", {spec::capability_names.begin(), spec::capability_names.end()});
  out.object("cgroup", [&] {
    out.member("v1", true).member("v2", true).member("systemd", true).member("systemdUser", true).member("rdma", true);
  });
  out.object("seccomp", [&] { write_seccomp(out); });
  out.object("apparmor", [&] { out.member("enabled", true); });
  out.object("selinux", [&] { out.member("enabled", true); });
  out.object("intelRdt", [&] { out.member("enabled", false); });
  out.object("netDevices", [&] { out.member("enabled", true); });
  out.object("memoryPolicy", [&] { out.strings("modes", known_memory_modes()).strings("flags", known_memory_flags()); });
  out.object("mountExtensions", [&] { out.object("idmap", [&] { out.member("enabled", true); }); });
}

}  // namespace

Result<int> verb_features(const Global&, const Arguments&) {
  spec::JsonWriter out;
  out.object("", [&] {
    out.text("ociVersionMin", "1.0.0").text("ociVersionMax", "1.2.1");
    out.strings("hooks", hook_names);
    out.strings("mountOptions", known_mount_options());
    out.object("linux", [&] { write_linux(out); });
    out.object("annotations", [&] {
      const auto* version = ::seccomp_version();
      out.text("io.github.seccomp.libseccomp.version", std::to_string(version->major) + "." + std::to_string(version->minor) +
                                                           "." + std::to_string(version->micro));
    });
    out.strings("potentiallyUnsafeConfigAnnotations", {});
  });
  TRY(print(out.take() + "\n"));
  return 0;
}

}  // namespace runtime::oci
