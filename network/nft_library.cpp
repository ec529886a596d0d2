#include "network/nft_library.h"

#include <dlfcn.h>

#include <optional>

namespace network {
namespace {

base::Result<NftLibrary> load() {
  void* const library = ::dlopen("libnftables.so.1", RTLD_LAZY | RTLD_LOCAL);
  if (!library)
    return base::make_error(base::ErrorKind::unsupported,
                            std::string("networks need libnftables (package libnftables1): ") + ::dlerror());
  NftLibrary out;
  const char* missing = nullptr;
  const auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(::dlsym(library, name));
    if (!function) missing = name;
  };
  find(out.ctx_new, "nft_ctx_new");
  find(out.ctx_free, "nft_ctx_free");
  find(out.ctx_buffer_output, "nft_ctx_buffer_output");
  find(out.ctx_buffer_error, "nft_ctx_buffer_error");
  find(out.ctx_get_output_buffer, "nft_ctx_get_output_buffer");
  find(out.ctx_get_error_buffer, "nft_ctx_get_error_buffer");
  find(out.ctx_output_set_flags, "nft_ctx_output_set_flags");
  find(out.run_cmd_from_buffer, "nft_run_cmd_from_buffer");
  if (missing)
    return base::make_error(base::ErrorKind::unsupported, std::string("libnftables.so.1 has no ") + missing);
  return out;
}

}  // namespace

base::Result<const NftLibrary*> nft_library() {
  static const auto library = load();
  if (!library) return library.error();
  return &*library;
}

}  // namespace network
