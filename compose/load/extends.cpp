#include <algorithm>

#include "compose/load/canonical.h"
#include "compose/load/merge.h"
#include "compose/load/paths.h"
#include "compose/load/session.h"

namespace compose::load {

/// Follows `extends` through one document and the files it names.
class Extender {
 public:
  Extender(Session& session, const ModelSource& source) : session_(session), context_(session.context_), source_(source) {}

  /// Replaces service `name` of `services` by itself merged over what it extends.
  /// `asked_at` is where it was asked for.
  void extend(const std::string& name, Node& services, const std::string& path, Position asked_at) {
    Node* service = services.find(name);
    if (service == nullptr || !service->is_mapping()) return;
    const Node* extends = service->find("extends");
    if (extends == nullptr || extends->directive == Directive::reset) return;
    const Reference target = reference(*extends, name);
    if (!target.usable) return;
    if (!enter(name, path, asked_at)) return;
    if (const Node* base = base_of(target, name, services, path); base != nullptr) {
      Node merged = *base;
      Node over = std::move(*services.find(name));
      const Path top;
      const Path in_services(top, "services");
      merge(context_, merged, std::move(over), file_rule_of_service(), Path(in_services, name));
      merged.erase("extends");
      *services.find(name) = std::move(merged);
    }
    chain_.pop_back();
  }

 private:
  struct Reference {
    bool usable = true;               ///< else what is wrong has been said
    std::string service, file;
    Position at = {}, file_at = {};
  };

  static const Rule* file_rule_of_service() { return attribute(file_rule(), "services")->value; }

  Reference reference(const Node& extends, const std::string& name) {
    Reference target{.usable = true, .service = {}, .file = {}, .at = extends.at};
    if (extends.is_string()) {
      target.service = extends.text;
      return target;
    }
    const auto kept = [&](std::string_view key) {
      const Node* found = extends.find(key);
      return found == nullptr || found->directive == Directive::reset ? nullptr : found;
    };
    const Node *service = kept("service"), *file = kept("file");
    const bool good = service != nullptr && service->is_string() && (file == nullptr || file->is_string());
    if (!good) {
      context_.error(extends.at, "services." + name + ".extends", "expected a service name, or a mapping with 'service'");
      target.usable = false;
      return target;
    }
    target.service = service->text;
    target.at = service->at;
    if (file != nullptr) {
      // Relative to the project for a file of the project, to its own folder for an extended one.
      const Path top;
      const Path services(top, "services");
      const Path here(services, name);
      target.file = session_.local_path(*file, Path(here, "extends"), source_);
      target.file_at = file->at;
      target.usable = !target.file.empty();
    }
    return target;
  }

  bool enter(const std::string& name, const std::string& path, Position at) {
    const std::string link = name + " in " + path;
    const auto begin = std::find(chain_.begin(), chain_.end(), link);
    if (begin == chain_.end()) {
      chain_.push_back(link);
      return true;
    }
    std::string cycle;
    for (auto step = begin; step != chain_.end(); ++step) cycle += *step + " extends ";
    context_.error(at, std::string(), "a service extends itself: " + cycle + link);
    return false;
  }

  /// The extended service with its own `extends` applied; nullptr when reported.
  const Node* base_of(const Reference& target, const std::string& name, Node& services, const std::string& path) {
    if (target.file.empty()) {
      if (services.find(target.service) == nullptr) {
        missing(target, name, services, path);
        return nullptr;
      }
      extend(target.service, services, path, target.at);
      const Node* base = services.find(target.service);
      return base->is_mapping() ? base : nullptr;
    }
    Node* others = session_.services_of(target.file, target.file_at, source_);
    if (others == nullptr) return nullptr;
    if (others->find(target.service) == nullptr) {
      missing(target, name, *others, target.file);
      return nullptr;
    }
    extend(target.service, *others, target.file, target.at);
    const Node* base = others->find(target.service);
    return base->is_mapping() ? base : nullptr;
  }

  void missing(const Reference& target, const std::string& name, const Node& services, const std::string& path) {
    std::vector<std::string_view> known;
    for (const Entry& entry : services.entries) known.push_back(entry.key);
    context_.error(target.at, "services." + name + ".extends",
                   "service '" + target.service + "' is not in " + path, did_you_mean(target.service, known));
  }

  Session& session_;
  Context& context_;
  const ModelSource& source_;
  std::vector<std::string> chain_;
};

Node* Session::services_of(const std::string& path, Position asked_at, const ModelSource& source) {
  const std::string key = source.working_dir + ":" + path;
  const auto known = extended_files_.find(key);
  if (known != extended_files_.end()) return known->second.find("services");
  Node model = Node::make_mapping();
  named_at_.emplace(path, asked_at);
  const std::size_t errors = context_.errors();
  for (Node& document : read_documents(path, source.environment)) {
    merge(context_, model, std::move(document), &file_rule(), Path());
    strip_directives(model);
    enforce_unique(model, &file_rule());
    canonicalise(context_, model);
    enforce_unique(model, &file_rule());
  }
  if (context_.errors() == errors && model.find("services") == nullptr)
    context_.error(asked_at, std::string(), path + " has no services");
  resolve_paths(context_, model, relative_path(source.working_dir, parent_of(path)));
  Node& kept = extended_files_[key] = std::move(model);
  Node* services = kept.find("services");
  return services != nullptr && services->is_mapping() ? services : nullptr;
}

void Session::apply_extends(Node& document, const std::string& path, const ModelSource& source) {
  Node* services = document.find("services");
  if (services != nullptr && services->is_null() && services->directive == Directive::none) {
    context_.error(services->at, std::string("services"), "expected a mapping, found nothing", "leave the key out, or write 'services: {}'");
    document.erase("services");
    return;
  }
  if (services == nullptr || !services->is_mapping()) return;
  std::vector<std::string> names;
  for (const Entry& entry : services->entries)
    if (entry.value.find("extends") != nullptr) names.push_back(entry.key);
  for (const std::string& name : names) Extender(*this, source).extend(name, *services, path, {});
}

}  // namespace compose::load
