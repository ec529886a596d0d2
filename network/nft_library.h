#pragma once
// libnftables, loaded when the first rule is needed: it and its five libraries cost 2 ms and half a megabyte, which programs and
// processes (the keeper) that never touch rules should not pay at their start. Internal to the room.
#include <nftables/libnftables.h>

#include "base/result.h"

namespace network {

/// The functions of libnftables.so.1 that the room uses. Source: libnftables(3).
struct NftLibrary {
  decltype(&::nft_ctx_new) ctx_new = nullptr;
  decltype(&::nft_ctx_free) ctx_free = nullptr;
  decltype(&::nft_ctx_buffer_output) ctx_buffer_output = nullptr;
  decltype(&::nft_ctx_buffer_error) ctx_buffer_error = nullptr;
  decltype(&::nft_ctx_get_output_buffer) ctx_get_output_buffer = nullptr;
  decltype(&::nft_ctx_get_error_buffer) ctx_get_error_buffer = nullptr;
  decltype(&::nft_ctx_output_set_flags) ctx_output_set_flags = nullptr;
  decltype(&::nft_run_cmd_from_buffer) run_cmd_from_buffer = nullptr;
};

/// Loads it once and for good. Error unsupported when it is missing or too old. Thread: any.
base::Result<const NftLibrary*> nft_library();

}  // namespace network
