#pragma once
// Programs of other architectures: whether this machine's kernel hands them to an emulator.
#include <string>

namespace engine::build {

/// "" when programs of `architecture` ("arm64", in OCI's words) may run here: they are native, a binfmt handler is registered for them, or
/// it cannot be known. Else what is missing, for people.
std::string why_foreign(const std::string& architecture);

/// Of the text of /proc/sys/fs/binfmt_misc/NAME, whether it takes ELF programs of the machine type `machine` (e_machine, elf(5)), stored
/// in the byte order of that architecture. Pure.
bool handles(const std::string& entry, unsigned machine, bool big_endian);

}  // namespace engine::build
