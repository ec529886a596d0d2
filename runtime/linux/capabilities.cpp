#include "runtime/linux/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sys.h"
#include "runtime/spec/capability_names.h"

namespace runtime {

using base::Result;
namespace sys = base::sys;

Result<CapabilityMasks> capability_masks(const spec::Capabilities& names) {
  const auto mask_of = [](const char* set, const std::vector<std::string>& list) -> Result<std::uint64_t> {
    std::uint64_t mask = 0;
    for (const auto& name : list) {
      const auto number = spec::capability_number(name);
      if (!number)
        return base::make_error(base::ErrorKind::invalid,
                                std::string("process.capabilities.") + set + ": unknown capability '" + name + "'");
      mask |= std::uint64_t{1} << *number;
    }
    return mask;
  };
  CapabilityMasks masks;
  ASSIGN_OR_RETURN(masks.bounding, mask_of("bounding", names.bounding));
  ASSIGN_OR_RETURN(masks.effective, mask_of("effective", names.effective));
  ASSIGN_OR_RETURN(masks.inheritable, mask_of("inheritable", names.inheritable));
  ASSIGN_OR_RETURN(masks.permitted, mask_of("permitted", names.permitted));
  ASSIGN_OR_RETURN(masks.ambient, mask_of("ambient", names.ambient));
  return masks;
}

Result<std::uint64_t> held_capabilities() {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
  __user_cap_data_struct data[2]{};
  TRY(sys::wrap("capget", ::syscall(SYS_capget, &header, data)));
  return static_cast<std::uint64_t>(data[1].permitted) << 32 | data[0].permitted;
}

Result<> check_held(const CapabilityMasks& wanted, std::uint64_t held) {
  const std::uint64_t missing = (wanted.permitted | wanted.effective | wanted.inheritable) & ~held;
  for (unsigned number = 0; number < spec::capability_names.size(); ++number)
    if (missing >> number & 1)
      return base::make_error(base::ErrorKind::permission, "process.capabilities: " + std::string(spec::capability_names[number]) +
                                                               " can't be given: the runtime itself lacks it");
  return {};
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
