#include "compose/load/publish.h"

#include <algorithm>
#include <map>

#include "compose/load/digest.h"
#include "compose/load/interpolate.h"
#include "compose/load/parse.h"
#include "compose/load/paths.h"
#include "compose/load/session.h"

namespace compose::load {
namespace {

/// Byte offset of a place in a text; columns count characters.
std::size_t offset_of(std::string_view text, Position at) {
  std::size_t offset = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  for (std::uint32_t line = 1; line < at.line && offset < text.size(); ++line) offset = std::min(text.find('\n', offset), text.size() - 1) + 1;
  for (std::uint32_t column = 1; column < at.column && offset < text.size(); ++column) {
    do ++offset;
    while (offset < text.size() && (static_cast<unsigned char>(text[offset]) & 0xC0U) == 0x80U);
  }
  return offset;
}

/// Length in bytes of the scalar that begins at `offset` and reads as `value`; 0 when it is written over several lines.
std::size_t length_at(std::string_view text, std::size_t offset, std::string_view value) {
  const std::string_view rest = text.substr(offset);
  if (rest.empty() || (rest[0] != '"' && rest[0] != '\'')) return rest.starts_with(value) ? value.size() : 0;
  for (std::size_t i = 1; i < rest.size() && rest[i] != '\n'; ++i) {
    if (rest[0] == '"' && rest[i] == '\\') ++i;
    else if (rest[i] == rest[0] && rest[0] == '\'' && i + 1 < rest.size() && rest[i + 1] == '\'') ++i;
    else if (rest[i] == rest[0]) return i + 1;
  }
  return 0;
}

class Publisher {
 public:
  Publisher(Context& context, PublishedFiles& out) : context_(context), out_(out) {}

  void run() {
    for (const auto& file : context_.options.files) add(file, context_.options.working_dir, file.substr(file.rfind('/') + 1), false);
    // An extended file may extend others.
    for (std::size_t i = 0; i < extended_.size() && !context_.failed(); ++i) {
      const auto file = extended_[i];
      add(file, parent_of(file), hex_sha256(file) + ".yaml", true);
    }
  }

 private:
  void add(const std::string& path, const std::string& base, const std::string& name, bool extended) {
    auto text = context_.files.read(path);
    if (!text) return context_.plain_error(read_failure(text.error()));
    const auto file = static_cast<std::uint32_t>(context_.sources.files.size());
    context_.sources.files.push_back({shown_path(path, context_.options.current_dir), *text});
    changes_.clear();
    const Lookup lookup = [&](std::string_view variable) -> std::optional<std::string> {
      const auto found = context_.options.environment.find(std::string(variable));
      return found == context_.options.environment.end() ? std::nullopt : std::optional(found->second);
    };
    for (const Node& written : parse_documents(context_, file)) {
      Node resolved = written;
      interpolate(context_, resolved, lookup);
      if (!extended) look_for_includes(resolved);
      services(written, resolved, base, *text);
    }
    for (auto change = changes_.rbegin(); change != changes_.rend(); ++change)
      text->replace(change->first, change->second.first, change->second.second);
    out_.compose_files.push_back({.name = name, .text = *std::move(text), .extended = extended});
  }

  void look_for_includes(const Node& document) {
    const auto local = [&](const Node* node) { return node != nullptr && node->is_string() && !is_remote(node->text); };
    const Node* include = document.find("include");
    if (include == nullptr) return;
    for (const Node& item : include->items) {
      const Node* path = item.is_mapping() ? item.find("path") : &item;
      bool here = local(path);
      if (path != nullptr)
        for (const Node& one : path->items) here = here || local(&one);
      out_.local_include = out_.local_include || here;
    }
  }

  void services(const Node& written, const Node& resolved, const std::string& base, std::string_view text) {
    const Node *from = written.find("services"), *to = resolved.find("services");
    if (from == nullptr || to == nullptr) return;
    for (std::size_t i = 0; i < from->entries.size(); ++i) {
      const Node &service = from->entries[i].value, &values = to->entries[i].value;
      if (const Node* env = service.find("env_file"); env != nullptr) {
        out_.services_with_env_files.insert(from->entries[i].key);
        env_files(*env, *values.find("env_file"), base, text);
      }
      const Node* extends = service.find("extends");
      const Node* file = extends == nullptr ? nullptr : extends->find("file");
      if (file == nullptr || !file->is_string()) continue;
      const std::string& named = values.find("extends")->find("file")->text;
      if (named.empty() || is_remote(named)) continue;
      const auto path = absolute_path(base, expand_home(named, context_.options.environment));
      if (std::find(extended_.begin(), extended_.end(), path) == extended_.end()) extended_.push_back(path);
      replace(*file, hex_sha256(path) + ".yaml", text);
    }
  }

  void env_files(const Node& written, const Node& resolved, const std::string& base, std::string_view text) {
    if (written.is_mapping()) {
      if (const Node* path = written.find("path"); path != nullptr) env_files(*path, *resolved.find("path"), base, text);
    } else if (written.is_string()) {
      const auto path = absolute_path(base, expand_home(resolved.text, context_.options.environment));
      const auto name = hex_sha256(path) + ".env";
      const std::pair entry{path, name};
      auto& all = out_.env_files;
      if (context_.files.exists(path) && std::find(all.begin(), all.end(), entry) == all.end()) all.push_back(entry);
      replace(written, name, text);
    }
    for (std::size_t i = 0; i < written.items.size(); ++i) env_files(written.items[i], resolved.items[i], base, text);
  }

  void replace(const Node& node, const std::string& value, std::string_view text) {
    const auto offset = offset_of(text, node.at);
    const auto length = length_at(text, offset, node.text);
    if (length == 0)
      return context_.error(node.at, std::string(), "the name of this file cannot be replaced by its name in the artifact", "write it in one line, without an alias");
    changes_[offset] = {length, value};
  }

  Context& context_;
  PublishedFiles& out_;
  std::vector<std::string> extended_;
  std::map<std::size_t, std::pair<std::size_t, std::string>> changes_;  ///< of one file: offset → bytes to go, what comes
};

}  // namespace

PublishedFiles published_files(const LoadOptions& options, const FileReader& files) {
  PublishedFiles out;
  Context context(options, files, out.load.diagnostics, out.load.sources);
  Publisher(context, out).run();
  return out;
}

}  // namespace compose::load
