#pragma once
// What a supervisor leaves in RunState::engine_json while something is half done, for the next one to finish.
#include <string_view>

namespace engine::supervisor::notes {

inline constexpr std::string_view starting = "starting";              ///< undo, or take the process over
inline constexpr std::string_view ending = "ending";                  ///< the exit is recorded, its things are not released yet
inline constexpr std::string_view removing = "removing";              ///< finish
inline constexpr std::string_view removing_volumes = "removing volumes";  ///< finish, with its anonymous volumes

inline bool is_removal(std::string_view note) { return note == removing || note == removing_volumes; }

}  // namespace engine::supervisor::notes
