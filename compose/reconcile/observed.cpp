#include "compose/reconcile/observed.h"

#include <algorithm>
#include <charconv>

#include "compose/reconcile/labels.h"

namespace compose::reconcile {
namespace {

int number_of(std::string_view text) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() && number > 0 ? number : 0;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto end = std::min(text.find(separator), text.size());
    parts.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return parts;
}

/// The label "db:service_healthy:false,cache:service_started:true".
std::vector<Dependency> parse_depends_on(std::string_view label_value) {
  std::vector<Dependency> dependencies;
  for (const auto item : split(label_value, ',')) {
    const auto fields = split(item, ':');
    if (fields.empty() || fields[0].empty()) continue;
    Dependency dependency{.service = std::string(fields[0])};
    if (fields.size() > 1 && fields[1] == "service_healthy") dependency.condition = Condition::healthy;
    if (fields.size() > 1 && fields[1] == "service_completed_successfully") dependency.condition = Condition::completed;
    dependency.restart = fields.size() > 2 && fields[2] == "true";
    dependencies.push_back(std::move(dependency));
  }
  return dependencies;
}

}  // namespace

std::string_view label_of(const engine::Labels& labels, std::string_view name) {
  const auto found = labels.find(std::string(name));
  return found == labels.end() ? std::string_view() : std::string_view(found->second);
}

Observed observed(engine::Snapshot snapshot, const std::string& project) {
  Observed result;
  result.project = project;
  result.snapshot = std::move(snapshot);
  for (const auto& info : result.snapshot.containers) {
    const auto& labels = info.spec.labels;
    if (info.spec.project != project) continue;
    result.containers.push_back({.info = &info,
                                 .service = std::string(label_of(labels, label::service)),
                                 .number = number_of(label_of(labels, label::number)),
                                 .one_off = label_of(labels, label::one_off) == "True"});
  }
  std::sort(result.containers.begin(), result.containers.end(),
            [](const Found& a, const Found& b) { return a.name() < b.name(); });
  for (std::size_t i = 0; i < result.containers.size(); ++i) {
    const Found& found = result.containers[i];
    if (!found.one_off) result.by_service[found.service].push_back(i);
  }
  for (auto& [service, indexes] : result.by_service) {
    std::stable_sort(indexes.begin(), indexes.end(), [&](std::size_t a, std::size_t b) {
      return result.containers[a].number < result.containers[b].number;
    });
  }
  for (const auto& info : result.snapshot.networks) result.networks[info.spec.name] = &info;
  for (const auto& info : result.snapshot.volumes) result.volumes[info.spec.name] = &info;
  return result;
}

Desired desired_from(const Observed& observed) {
  Desired desired;
  desired.project = observed.project;
  for (const auto& [name, indexes] : observed.by_service) {
    const auto& info = *observed.containers[indexes.front()].info;
    Service service;
    service.name = name;
    service.replicas = static_cast<int>(indexes.size());
    service.spec = info.spec;
    service.config_hash = label_of(info.spec.labels, label::config_hash);
    service.generated_image = info.spec.image == observed.project + "-" + name;
    service.depends_on = parse_depends_on(label_of(info.spec.labels, label::depends_on));
    desired.known_services.insert(name);
    desired.services.push_back(std::move(service));
  }
  for (const auto& info : observed.snapshot.networks) {
    if (info.spec.project != observed.project) continue;
    desired.networks.push_back(
        {.key = std::string(label_of(info.spec.labels, label::network)), .spec = info.spec, .config_hash = {}});
  }
  for (const auto& info : observed.snapshot.volumes) {
    if (info.spec.project != observed.project || info.spec.anonymous) continue;
    desired.volumes.push_back(
        {.key = std::string(label_of(info.spec.labels, label::volume)), .spec = info.spec, .config_hash = {}});
  }
  return desired;
}

}  // namespace compose::reconcile
