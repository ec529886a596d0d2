#pragma once
// Log lines of the programs. Library code returns errors instead; what it logs is debug detail only.
// Written by hand, not spdlog: Debian ships that as a shared library only, and compose and compose-runtime are static.
#include <string_view>

#include "base/unique_fd.h"

namespace base::log {

enum class Level : unsigned char { debug, info, warning, error };

/// Where lines go and from which level on. Thread-safe to call before threads start only. Default: stderr, warning.
void configure(Fd sink, Level from);
/// One line "2026-11-22T14:20:39.402Z level component: text". One write(2), so lines of several threads never mix.
void line(Level level, std::string_view component, std::string_view text);

inline void debug(std::string_view component, std::string_view text) { line(Level::debug, component, text); }
inline void info(std::string_view component, std::string_view text) { line(Level::info, component, text); }
inline void warning(std::string_view component, std::string_view text) { line(Level::warning, component, text); }
inline void error(std::string_view component, std::string_view text) { line(Level::error, component, text); }

}  // namespace base::log
