#include "compose/load/paths.h"

#include <filesystem>

namespace compose::load {

std::string absolute_path(std::string_view base, std::string_view path) {
  if (path.starts_with('/')) return std::string(path);
  std::string joined = (std::filesystem::path(base) / path).lexically_normal().string();
  while (joined.size() > 1 && joined.ends_with('/')) joined.pop_back();
  return joined;
}

std::string parent_of(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return std::string(path.substr(0, slash == 0 ? 1 : slash));
}

std::string relative_path(const std::string& base, const std::string& path) {
  return std::filesystem::path(path).lexically_relative(base).string();
}

std::string expand_home(std::string_view path, const model::StringMap& environment) {
  if (!path.starts_with('~')) return std::string(path);  // "~user" is "user" below the home, as in Docker Compose
  const auto home = environment.find("HOME");
  if (home == environment.end() || home->second.empty()) return std::string(path);
  path.remove_prefix(path.starts_with("~/") ? 2 : 1);
  return path.empty() ? home->second : absolute_path(home->second, path);
}

namespace {

bool is_separator(char c) { return c == '/' || c == '\\'; }

/// "C:\\x" and "\\\\host\\share", with either slash: absolute where the other side of a socket is Windows. A drive needs a
/// separator behind it; a path that begins with two separators is absolute as it is (also \\\\.\\pipe\\x and \\\\?\\C:\\x).
bool is_windows_absolute(std::string_view path) {
  if (path.size() > 2 && path[1] == ':') return is_separator(path[2]);
  if (path.size() < 2 || !is_separator(path[0])) return false;
  return is_separator(path[1]) || path.starts_with("\\??\\");
}

/// URLs, git and image references that a build context may be instead of a folder.
bool is_remote_context(std::string_view path) {
  if (path.find("://") != std::string_view::npos || path.starts_with("service:")) return true;
  for (const std::string_view prefix : {"https://", "http://", "git://", "ssh://", "github.com/", "git@"})
    if (path.starts_with(prefix)) return true;
  return false;
}

class Resolver {
 public:
  Resolver(Context& context, const std::string& base) : context_(context), base_(base) {}

  void walk(Node& node, const Rule& rule, const Path& path) {
    switch (rule.path) {
      case PathKind::none: break;
      case PathKind::file:
      case PathKind::extends_file: return make_absolute(node);
      case PathKind::foreign: return make_absolute_or_foreign(node);
      case PathKind::watch: return watched(node, path);
      case PathKind::context: return context_path(node);
      case PathKind::contexts:
        for (Entry& entry : node.entries) context_path(entry.value);
        // Still a list where variables are in their place: Docker Compose takes each item whole.
        for (Node& item : node.items) context_path(item);
        return;
      case PathKind::bind_source:
      case PathKind::volume_device: return;
    }
    for (Entry& entry : node.entries) {
      if (is_extension(entry.key)) continue;
      const Rule* row = attribute(rule, entry.key);
      if (row != nullptr) walk(entry.value, *row, Path(path, entry.key));
    }
    if (rule.item != nullptr)
      for (std::size_t i = 0; i < node.items.size(); ++i) walk(node.items[i], *rule.item, Path(path, i));
    if (rule.expand == Short::mount) mount(node, path);
    if (rule.expand == Short::ssh)
      for (Entry& entry : node.entries) make_absolute_or_foreign(entry.value);
  }

  /// Top-level volumes that bind a folder through the local driver.
  void volume_devices(Node& document) {
    Node* volumes = document.find("volumes");
    if (volumes == nullptr) return;
    for (Entry& entry : volumes->entries) {
      Node* options = entry.value.find("driver_opts");
      if (options == nullptr) continue;
      const Node *driver = entry.value.find("driver"), *o = options->find("o");
      Node* device = options->find("device");
      // Docker Compose asks for the driver to be written; without it the device stays as it is.
      if (driver == nullptr || driver->text != "local") continue;
      if (device != nullptr && o != nullptr && o->is_string() && o->text == "bind") make_absolute_or_foreign(*device);
    }
  }

 private:
  /// A path of this machine; "" stays.
  void make_absolute(Node& node) const {
    if (!node.is_string() || node.text.empty()) return;
    node.text = expand_home(node.text, context_.options.environment);
    node.text = absolute_path(base_, node.text);
  }

  /// A path that may be one of another machine; "" is the base.
  void make_absolute_or_foreign(Node& node) const {
    if (!node.is_string()) return;
    node.text = expand_home(node.text, context_.options.environment);
    if (!is_windows_absolute(node.text)) node.text = absolute_path(base_, node.text);
  }

  /// What is watched is a place on the disk: the first symbolic link of its path is followed.
  void watched(Node& node, const Path& at) const {
    make_absolute(node);
    if (!node.is_string()) return;
    const std::string path = node.text;
    for (std::size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string part = path.substr(0, end);
      if (const auto target = context_.files.link_target(part)) {
        if (target->empty()) context_.error(node.at, at, "the symbolic link " + part + " leads nowhere");
        else node.text = *target + path.substr(part.size());
        return;
      }
      if (end == std::string::npos) return;
    }
  }

  void context_path(Node& node) const {
    if (node.is_string() && !node.text.empty() && !is_remote_context(node.text)) make_absolute(node);
  }

  void mount(Node& node, const Path& path) const {
    const Node* type = node.find("type");
    if (type == nullptr || type->text != "bind") return;
    Node* source = node.find("source");
    if (source == nullptr) {
      context_.error(node.at, path, "a bind mount needs a source");
      return;
    }
    make_absolute_or_foreign(*source);
  }

  Context& context_;
  const std::string& base_;
};

}  // namespace

void resolve_paths(Context& context, Node& document, const std::string& base) {
  Resolver resolver(context, base);
  resolver.walk(document, file_rule(), Path());
  resolver.volume_devices(document);
}

}  // namespace compose::load
