#include "runtime/linux/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/linux/text.h"
#include "runtime/spec/capability_names.h"

namespace runtime {

using base::Result;
namespace sys = base::sys;

Result<std::uint64_t> held_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2]{};
  TRY(sys::wrap("capget", ::syscall(SYS_capget, &header, data)));
  return static_cast<std::uint64_t>(data[1].permitted) << 32 | data[0].permitted;
}

bool may_mount() {
  const auto held = held_capabilities();
  return held && (*held >> CAP_SYS_ADMIN & 1);
}

namespace {

std::uint64_t mask_of(const char* set, const std::vector<std::string>& list, std::vector<std::string>& warnings) {
  std::uint64_t mask = 0;
  for (const auto& name : list) {
    if (const auto number = spec::capability_number(name))
      mask |= std::uint64_t{1} << *number;
    else
      warnings.push_back(concat({"process.capabilities.", set, ": unknown capability '", name, "', ignoring it"}));
  }
  return mask;
}

/// Takes what `allowed` lacks out of `wanted` and tells why.
void limit(std::uint64_t& wanted, std::uint64_t allowed, const std::string& before, const std::string& why,
           std::vector<std::string>& warnings) {
  const std::uint64_t missing = wanted & ~allowed;
  for (unsigned number = 0; number < spec::capability_names.size(); ++number)
    if (missing >> number & 1) warnings.push_back(concat({before, spec::capability_names[number], why, ", ignoring it"}));
  wanted &= allowed;
}

}  // namespace

CapabilityMasks capability_masks(const spec::Capabilities& names, std::uint64_t held, std::vector<std::string>& warnings) {
  CapabilityMasks masks;
  masks.bounding = mask_of("bounding", names.bounding, warnings);
  masks.effective = mask_of("effective", names.effective, warnings);
  masks.inheritable = mask_of("inheritable", names.inheritable, warnings);
  masks.permitted = mask_of("permitted", names.permitted, warnings);
  masks.ambient = mask_of("ambient", names.ambient, warnings);
  const std::string lacks = " can't be given: the runtime itself lacks it";
  limit(masks.permitted, held, "process.capabilities.permitted: ", lacks, warnings);
  masks.effective &= held;
  limit(masks.inheritable, held, "process.capabilities.inheritable: ", lacks, warnings);
  // capabilities(7): effective ones are permitted ones, ambient ones are permitted and inheritable.
  limit(masks.effective, masks.permitted, "process.capabilities.effective: ", " is not permitted", warnings);
  limit(masks.ambient, masks.permitted & masks.inheritable, "can't raise ambient capability ",
        ": it is not both permitted and inheritable", warnings);
  return masks;
}

Result<> drop_bounding(const CapabilityMasks& masks) {
  for (unsigned long number = 0; number < 64; ++number) {
    if (masks.bounding >> number & 1) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) return {};  // past the last one this kernel has
    return base::errno_error(errno, "dropping a capability from the bounding set");
  }
  return {};
}

Result<> set_capabilities(const CapabilityMasks& masks) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2]{};
  for (unsigned half = 0; half < 2; ++half) {
    data[half].effective = static_cast<__u32>(masks.effective >> (32 * half));
    data[half].permitted = static_cast<__u32>(masks.permitted >> (32 * half));
    data[half].inheritable = static_cast<__u32>(masks.inheritable >> (32 * half));
  }
  TRY(sys::wrap("capset", ::syscall(SYS_capset, &header, data)));
  for (unsigned long number = 0; number < 64; ++number)
    if (masks.ambient >> number & 1)
      TRY(sys::wrap("raising an ambient capability", ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0)));
  return {};
}

}  // namespace runtime
