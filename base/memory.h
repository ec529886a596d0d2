#pragma once
// Memory given back to the machine.

namespace base {

/// Returns what the heap does not use (malloc_trim(3)) and lets go of the pages of the program's code, which stay in the page cache
/// and are mapped again as they are run: for a process that did much and now waits for long. Each 64 KiB of code that is run again
/// costs a microsecond. Thread: any.
void release_memory();

}  // namespace base
