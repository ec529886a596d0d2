#pragma once
// Docker Compose's labels: tools (Traefik, Portainer, Dozzle, Dev Containers) read them, and observe() does.
#include <string_view>

namespace compose::reconcile::label {

inline constexpr std::string_view project = "com.docker.compose.project";
inline constexpr std::string_view service = "com.docker.compose.service";
inline constexpr std::string_view number = "com.docker.compose.container-number";
inline constexpr std::string_view one_off = "com.docker.compose.oneoff";  ///< "True" | "False"
inline constexpr std::string_view config_hash = "com.docker.compose.config-hash";
inline constexpr std::string_view image = "com.docker.compose.image";
inline constexpr std::string_view depends_on = "com.docker.compose.depends_on";  ///< "db:service_healthy:false,…"
inline constexpr std::string_view working_dir = "com.docker.compose.project.working_dir";
inline constexpr std::string_view config_files = "com.docker.compose.project.config_files";
inline constexpr std::string_view environment_file = "com.docker.compose.project.environment_file";
inline constexpr std::string_view version = "com.docker.compose.version";
inline constexpr std::string_view network = "com.docker.compose.network";
inline constexpr std::string_view volume = "com.docker.compose.volume";
inline constexpr std::string_view slug = "com.docker.compose.slug";

}  // namespace compose::reconcile::label

namespace compose::reconcile {
/// The Docker Compose version whose behaviour is followed; the value of the version label and of `compose version`.
inline constexpr std::string_view compatible_version = "2.40.3";
}  // namespace compose::reconcile
