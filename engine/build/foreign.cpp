// Sources: Documentation/admin-guide/binfmt-misc.rst; elf(5); EM_… of <elf.h>.
#include "engine/build/foreign.h"

#include <elf.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <optional>
#include <vector>

#include "base/sys.h"
#include "engine/images/image_store.h"

namespace engine::build {
namespace {

struct Machine {
  const char* architecture;
  unsigned type;
  bool big_endian;
};
constexpr Machine machines[] = {{"amd64", EM_X86_64, false},   {"386", EM_386, false},       {"arm64", EM_AARCH64, false},
                                {"arm", EM_ARM, false},        {"riscv64", EM_RISCV, false}, {"ppc64le", EM_PPC64, false},
                                {"s390x", EM_S390, true},      {"mips64le", EM_MIPS, false}, {"mips64", EM_MIPS, true},
                                {"loong64", 258, false}};  // EM_LOONGARCH is newer than Debian 12's header

bool native(const std::string& architecture) {
  const auto host = images::host_platform();
  const auto own = host.substr(6, host.find('/', 6) - 6);
  return architecture == own || (own == "amd64" && architecture == "386") || (own == "arm64" && architecture == "arm");
}

/// The bytes after "KEY " on a line of its own; empty when there is none.
std::vector<unsigned> bytes_of(const std::string& entry, const std::string& key) {
  const auto at = entry.find("\n" + key + " ");
  std::vector<unsigned> bytes;
  if (at == std::string::npos) return bytes;
  for (std::size_t i = at + key.size() + 2; i + 1 < entry.size() && entry[i] != '\n'; i += 2) {
    unsigned value = 0;
    if (std::from_chars(&entry[i], &entry[i] + 2, value, 16).ptr != &entry[i] + 2) return {};
    bytes.push_back(value);
  }
  return bytes;
}

}  // namespace

bool handles(const std::string& entry, unsigned machine, bool big_endian) {
  constexpr std::size_t at = 18;  // e_machine
  if (!entry.starts_with("enabled\n")) return false;
  const auto magic = bytes_of(entry, "magic"), mask = bytes_of(entry, "mask");
  if (magic.size() < at + 2 || magic[0] != 0x7f || magic[1] != 'E' || magic[2] != 'L' || magic[3] != 'F') return false;
  const unsigned wanted[] = {big_endian ? machine >> 8U : machine & 255U, big_endian ? machine & 255U : machine >> 8U};
  for (std::size_t i = 0; i < 2; ++i) {
    const unsigned covered = at + i < mask.size() ? mask[at + i] : 255U;
    if (((magic[at + i] ^ wanted[i]) & covered) != 0) return false;
  }
  return true;
}

std::string why_foreign(const std::string& architecture) {
  if (architecture.empty() || native(architecture)) return "";
  const auto* machine = std::find_if(std::begin(machines), std::end(machines), [&](const Machine& one) { return one.architecture == architecture; });
  if (machine == std::end(machines)) return "";
  std::error_code failed;
  for (std::filesystem::directory_iterator it("/proc/sys/fs/binfmt_misc", failed), end; !failed && it != end; it.increment(failed)) {
    const auto entry = base::sys::read_file(it->path(), 1 << 16);
    if (entry && handles(*entry, machine->type, machine->big_endian)) return "";
  }
  return "this machine cannot run linux/" + architecture + " programs: no binfmt handler is registered (Debian: qemu-user-static)";
}

}  // namespace engine::build
