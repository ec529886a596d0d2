#include <algorithm>

#include "compose/load/dotenv.h"
#include "compose/load/load.h"
#include "compose/load/paths.h"
#include "compose/load/session.h"
#include "compose/load/units.h"

namespace compose::load {
namespace {

constexpr std::string_view file_names[] = {"compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"};
constexpr std::string_view override_names[] = {"compose.override.yml", "compose.override.yaml",
                                               "docker-compose.override.yml", "docker-compose.override.yaml"};

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i <= text.size();) {
    const auto end = std::min(text.find(separator, i), text.size());
    if (end > i) out.emplace_back(text.substr(i, end - i));
    i = end + separator.size();
  }
  return out;
}

/// Without any there is the profile "": a service's `profiles: ["${DEBUG:+debug}"]` counts on it.
std::vector<std::string> profiles_in(std::string_view text) {
  std::vector<std::string> out;
  for (bool more = true; more;) {
    const auto comma = text.find(',');
    more = comma != std::string_view::npos;
    auto word = text.substr(0, comma);
    while (!word.empty() && (word.front() == ' ' || word.front() == '\t')) word.remove_prefix(1);
    while (!word.empty() && (word.back() == ' ' || word.back() == '\t')) word.remove_suffix(1);
    out.emplace_back(word);
    if (more) text.remove_prefix(comma + 1);
  }
  return out;
}

class Discovery {
 public:
  Discovery(const CommandLine& line, const FileReader& files) : line_(line), files_(files), environment_(line.environment) {}

  DiscoverResult run() {
    start();
    if (has_errors(result_.diagnostics)) return std::move(result_);
    if (paths_.empty()) take_compose_file();
    if (paths_.empty() && !has_errors(result_.diagnostics)) search();
    if (paths_.empty() && !has_errors(result_.diagnostics)) plain_error("no configuration file provided: not found");
    read_env_files();
    if (has_errors(result_.diagnostics)) return std::move(result_);
    LoadOptions options;
    for (std::string& path : paths_) {
      fetch(path);
      options.files.push_back(path == "-" ? path : absolute_path(line_.current_dir, path));
    }
    if (has_errors(result_.diagnostics)) return std::move(result_);
    options.working_dir = project_dir();
    options.project_name = line_.project_name.empty() ? variable("COMPOSE_PROJECT_NAME") : line_.project_name;
    options.profiles = line_.profiles.empty() ? profiles_in(variable("COMPOSE_PROFILES")) : line_.profiles;
    options.current_dir = line_.current_dir;
    options.environment = std::move(environment_);
    result_.options = std::move(options);
    return std::move(result_);
  }

  model::StringMap settings() {
    start();
    if (has_errors(result_.diagnostics)) return {};
    std::erase_if(environment_, [&](const auto& variable) { return !variable.first.starts_with("COMPOSE_"); });
    return std::move(environment_);
  }

 private:
  void start() {
    if (!line_.project_directory.empty()) working_dir_ = absolute_path(line_.current_dir, line_.project_directory);
    paths_ = line_.files;
    if (!names_env_files()) read_switch();
    // .env may itself say COMPOSE_FILE; a file found in a parent directory then brings its own .env.
    if (!has_errors(result_.diagnostics)) read_env_files();
  }

  void plain_error(std::string message) {
    result_.diagnostics.push_back({Severity::error, {}, "", std::move(message), "", true});
  }
  void warn(std::string message) {
    result_.diagnostics.push_back({Severity::warning, {}, "", std::move(message), "", true});
  }

  /// A remote file becomes its local copy, whose folder the project's paths are relative to.
  void fetch(std::string& path) {
    if (!is_remote(path)) return;
    auto local = files_.fetch(path);
    if (!local) return plain_error("cannot fetch " + path + ": " + local.error().message);
    path = *std::move(local);
  }

  [[nodiscard]] std::string variable(const std::string& name) const {
    const auto found = environment_.find(name);
    return found == environment_.end() ? "" : found->second;
  }

  [[nodiscard]] std::string project_dir() const {
    if (!working_dir_.empty()) return working_dir_;
    for (const std::string& path : paths_)
      if (path != "-" && !is_remote(path)) return parent_of(absolute_path(line_.current_dir, path));
    return line_.current_dir;
  }

  [[nodiscard]] bool names_env_files() const { return !line_.env_files.empty() || !variable("COMPOSE_ENV_FILES").empty(); }

  void read_switch() {
    const auto found = line_.environment.find("COMPOSE_DISABLE_ENV_FILE");
    if (found == line_.environment.end()) return;
    const auto value = parse_bool(found->second);
    if (!value) return plain_error("COMPOSE_DISABLE_ENV_FILE is '" + found->second + "', which is neither true nor false: write 1 or 0, or unset it");
    without_env_file_ = *value;
  }

  [[nodiscard]] std::vector<std::string> env_files() const {
    if (!line_.env_files.empty()) return line_.env_files;
    const auto named = line_.environment.find("COMPOSE_ENV_FILES");
    if (named != line_.environment.end() && !named->second.empty()) return split(named->second, ",");
    if (without_env_file_) return {};
    const std::string standard = absolute_path(project_dir(), ".env");
    if (!files_.exists(standard) || files_.is_directory(standard)) return {};
    return {standard};
  }

  void read_env_files() {
    for (const std::string& name : env_files()) {
      const std::string path = absolute_path(line_.current_dir, name);
      if (std::find(read_.begin(), read_.end(), path) != read_.end()) continue;
      read_.push_back(path);
      result_.env_files.push_back(path);
      read_env_file(path);
    }
    // Later files win over earlier ones, the shell over all.
    for (const auto& [name, value] : from_files_) environment_.emplace(name, value);
    from_files_.clear();
  }

  void read_env_file(const std::string& path) {
    const auto text = files_.read(path);
    if (!text) {
      if (!files_.exists(path)) return plain_error("couldn't find env file: " + path);
      return plain_error(files_.is_directory(path) ? path + " is a directory" : read_failure(text.error()));
    }
    const Lookup names = [&](std::string_view name) -> std::optional<std::string> {
      const auto found = environment_.find(std::string(name));
      return found == environment_.end() ? std::nullopt : std::optional(found->second);
    };
    const DotEnv parsed = parse_dotenv(*text, names, from_files_);
    for (const std::string& unset : parsed.unset)
      warn("The \"" + unset + "\" variable is not set. Defaulting to a blank string.");
    if (!parsed.error.empty()) {
      const auto number = static_cast<std::uint32_t>(result_.sources.files.size());
      result_.sources.files.push_back({shown_path(path, line_.current_dir), *text});
      result_.diagnostics.push_back({Severity::error, {number, parsed.error_line, 1}, "", parsed.error, "", false});
      return;
    }
    for (const auto& [name, value] : parsed.variables) from_files_[name] = value;
  }

  void take_compose_file() {
    const std::string list = variable("COMPOSE_FILE");
    if (list.empty()) return;
    std::string separator = variable("COMPOSE_PATH_SEPARATOR");
    if (separator.empty()) separator = ":";
    // An empty name is the current directory, which then cannot be read: as Docker Compose has it.
    for (std::size_t i = 0; i <= list.size();) {
      const auto end = std::min(list.find(separator, i), list.size());
      const std::string path = list.substr(i, end - i);
      paths_.push_back(path == "-" || is_remote(path) ? path : absolute_path(line_.current_dir, path));
      i = end + separator.size();
    }
  }

  template <std::size_t N>
  [[nodiscard]] std::vector<std::string> present(const std::string& directory, const std::string_view (&names)[N]) const {
    std::vector<std::string> found;
    for (const auto name : names)
      if (std::string path = absolute_path(directory, name); files_.exists(path)) found.push_back(std::move(path));
    return found;
  }

  void several(const std::vector<std::string>& found, std::string_view what) {
    if (found.size() < 2) return;
    std::string list;
    for (const std::string& path : found) list += (list.empty() ? "" : ", ") + path;
    warn("Found multiple " + std::string(what) + " files with supported names: " + list);
    warn("Using " + found.front());
  }

  void search() {
    for (std::string directory = project_dir();; directory = parent_of(directory)) {
      const auto found = present(directory, file_names);
      if (!found.empty()) {
        several(found, "config");
        paths_.push_back(found.front());
        const auto overrides = present(directory, override_names);
        several(overrides, "override");
        if (!overrides.empty()) paths_.push_back(overrides.front());
        return;
      }
      if (directory == "/" || directory == ".") return;
    }
  }

  const CommandLine& line_;
  const FileReader& files_;
  DiscoverResult result_;
  model::StringMap environment_, from_files_;
  std::string working_dir_;
  bool without_env_file_ = false;
  std::vector<std::string> paths_, read_;
};

}  // namespace

DiscoverResult discover(const CommandLine& line, const FileReader& files) { return Discovery(line, files).run(); }

model::StringMap program_settings(const CommandLine& line, const FileReader& files) { return Discovery(line, files).settings(); }

}  // namespace compose::load
