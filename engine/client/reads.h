#pragma once
// The store as commands read it.
#include "engine/store/store.h"

namespace engine::client {

/// This thread's connection to the store, opened by the first who asks. Null: nothing was ever done here, and looking shall not make a
/// database.
base::Result<store::Store*> store_to_read();

}  // namespace engine::client
