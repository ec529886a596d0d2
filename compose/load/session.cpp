#include "compose/load/session.h"

#include "compose/load/canonical.h"
#include "compose/load/checks.h"
#include "compose/load/interpolate.h"
#include "compose/load/merge.h"
#include "compose/load/parse.h"
#include "compose/load/paths.h"
#include "compose/load/schema.h"

namespace compose::load {

std::string read_failure(const base::Error& error) {
  // Go writes system errors in lower case.
  std::string text = error.message;
  const auto reason = text.rfind(": ");
  if (reason != std::string::npos && text[reason + 2] >= 'A' && text[reason + 2] <= 'Z')
    text[reason + 2] = static_cast<char>(text[reason + 2] - 'A' + 'a');
  return text;
}

std::vector<Node> Session::parse_file(const std::string& path) {
  if (auto known = preloaded_.extract(path); !known.empty()) return std::move(known.mapped());
  if (context_.sources.files.size() >= context_.limits.files_max) {
    context_.plain_error("too many files are loaded");
    return {};
  }
  auto text = context_.files.read(path);
  if (!text) {
    const auto named = named_at_.find(path);
    if (named == named_at_.end()) context_.plain_error(read_failure(text.error()));
    else context_.error(named->second, std::string(), read_failure(text.error()));
    return {};
  }
  const auto file = static_cast<std::uint32_t>(context_.sources.files.size());
  context_.sources.files.push_back({shown_path(path, context_.options.current_dir), *std::move(text)});
  const std::size_t errors = context_.errors();
  std::vector<Node> documents = parse_documents(context_, file);
  if (context_.errors() > errors) return {};
  return documents;
}

Session::Name Session::preload(const std::vector<std::string>& files) {
  Name name;
  for (const std::string& file : files) {
    if (preloaded_.contains(file)) continue;
    std::vector<Node> parsed = parse_file(file);
    auto& documents = preloaded_[file] = std::move(parsed);
    for (const Node& document : documents) {
      const Node* found = document.find("name");
      if (found == nullptr || !found->is_string() || found->text.empty()) continue;
      name.written = found;
      name.in_first_document = name.in_first_document || &document == &documents.front();
    }
  }
  return name;
}

std::vector<Node> Session::read_documents(const std::string& path, const model::StringMap& environment) {
  std::vector<Node> documents = parse_file(path);
  const Lookup lookup = [&](std::string_view name) -> std::optional<std::string> {
    const auto found = environment.find(std::string(name));
    return found == environment.end() ? std::nullopt : std::optional(found->second);
  };
  for (Node& document : documents) {
    if (!document.is_mapping()) {
      context_.error(document.at, std::string(), "the top level must be a mapping");
      return {};
    }
    if (context_.options.interpolate) interpolate(context_, document, lookup);
  }
  return documents;
}

std::string Session::local_path(const Node& reference, const Path& at, const ModelSource& source) {
  if (!is_remote(reference.text)) return absolute_path(source.working_dir, expand_home(reference.text, source.environment));
  auto local = context_.files.fetch(reference.text);
  if (local) return *std::move(local);
  context_.error(reference.at, at, "cannot fetch " + reference.text + ": " + local.error().message);
  return "";
}

void Session::drop_version(Node& model, const std::string& path) {
  const Node* version = model.find("version");
  if (version == nullptr) return;
  context_.warn(version->at, path + ": the attribute `version` is obsolete, it will be ignored, please remove it to "
                                    "avoid potential confusion");
  model.erase("version");
}

void Session::join_document(Node document, const std::string& path, const ModelSource& source, Node& model,
                            const std::vector<std::string>& including) {
  apply_extends(document, path, source);
  apply_include(document, path, source, including);
  merge(context_, model, std::move(document), &file_rule(), Path());
  strip_directives(model);
  enforce_unique(model, &file_rule());
  const std::size_t errors = context_.errors();
  if (context_.options.schema_validation) validate_schema(context_, model);
  drop_version(model, path);
  if (context_.errors() > errors) return;
  canonicalise(context_, model);
  enforce_unique(model, &file_rule());
}

void Session::load_file(const std::string& path, const ModelSource& source, Node& model,
                        const std::vector<std::string>& including) {
  std::vector<std::string> chain = including;
  chain.push_back(path);
  for (Node& document : read_documents(path, source.environment))
    join_document(std::move(document), path, source, model, chain);
}

void resolve_environment_names(Node& model, const model::StringMap& environment) {
  Node* services = model.find("services");
  if (services == nullptr) return;
  for (Entry& service : services->entries) {
    Node* variables = service.value.find("environment");
    if (variables == nullptr) continue;
    for (Entry& entry : variables->entries) {
      if (!entry.value.is_null()) continue;
      const auto found = environment.find(entry.key);
      if (found != environment.end()) entry.value = Node::make_string(found->second, entry.value.at);
    }
    for (Node& item : variables->items) {
      if (!item.is_string() || item.text.find('=') != std::string::npos) continue;
      const auto found = environment.find(item.text);
      if (found != environment.end()) item.text += "=" + found->second;
    }
  }
}

Node Session::load_model(const ModelSource& source, const std::vector<std::string>& including) {
  Node model = Node::make_mapping();
  const std::size_t errors = context_.errors();
  for (const std::string& file : source.files) {
    load_file(file, source, model, including);
    // A file that is not valid makes nonsense of what is merged over it; others of its own are still reported.
    if (context_.errors() > errors) return model;
  }
  set_defaults(model);
  check_tree(context_, model);
  if (context_.options.resolve_paths || !including.empty()) resolve_paths(context_, model, source.base);
  // Docker Compose asks for names to stay without a value with variables in place, but not of what is included.
  if (context_.options.interpolate || !including.empty()) resolve_environment_names(model, source.environment);
  return model;
}

}  // namespace compose::load
