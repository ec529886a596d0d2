// cp, export, commit: a container's files, through compose-image.
#include <unistd.h>

#include <filesystem>

#include "compose/cli/context.h"
#include "compose/cli/globals.h"
#include "compose/cli/json_line.h"
#include "compose/cli/output.h"
#include "compose/cli/progress.h"
#include "compose/cli/verbs.h"
#include "compose/cli/workers.h"
#include "engine/client/client.h"

namespace compose::cli {

using base::ErrorKind;
using base::make_error;
using base::Result;

namespace {

/// "service:path"; a path alone has no service. What begins with '/' or '.' is always a path. As Docker Compose splits it.
struct Argument {
  std::string service, path;
};
Argument split(const std::string& text) {
  const auto colon = text.find(':');
  if (text.starts_with('/') || colon == std::string::npos || text.starts_with('.')) return {"", text};
  return {text.substr(0, colon), text.substr(colon + 1)};
}

enum class Direction : std::uint8_t { in, out };

/// Docker Compose copies into every replica, out of the first one.
Result<std::vector<const engine::ContainerInfo*>> copied_containers(const View& view, const std::string& service, Direction direction,
                                                                    const Parsed& parsed) {
  std::vector<const engine::ContainerInfo*> chosen;
  if (const auto index = parsed.number("index"); index && *index > 0) {
    ASSIGN_OR_RETURN(const auto* one, container_of(view, service, index, false));
    chosen.push_back(one);
    return chosen;
  }
  if (const auto found = view.observed.by_service.find(service); found != view.observed.by_service.end()) {
    for (const std::size_t at : found->second) chosen.push_back(view.observed.containers[at].info);
  }
  if (parsed.on("all")) {
    for (const auto& container : view.observed.containers) {
      if (container.one_off && container.service == service) chosen.push_back(container.info);
    }
  }
  if (chosen.empty()) return make_error(ErrorKind::not_found, "no container found for service \"" + service + "\"");
  if (direction == Direction::out) chosen.resize(1);
  return chosen;
}

struct Failures {
  std::vector<std::string> texts;
  /// Each is printed once; the exit code.
  [[nodiscard]] int report() const {
    for (const auto& text : texts) err(text + "\n");
    return texts.empty() ? 0 : 1;
  }
};

/// "error: …" is how a worker ends; people read the sentence alone.
std::string plain(std::string text) {
  constexpr std::string_view head = "error: ";
  return text.starts_with(head) ? text.substr(head.size()) : text;
}

Job file_job(std::vector<std::string> arguments, const Change& begun, const std::string& done, ProgressWriter& writer, Failures& failures) {
  Job job;
  job.arguments = std::move(arguments);
  job.on_start = [&writer, begun] { writer.change(begun); };
  job.on_end = [&writer, &failures, begun, done](int code, const std::string& errors) {
    if (code == 0) writer.change({begun.id, done, "", true});
    else failures.texts.push_back(plain(errors));
  };
  return job;
}

Result<> run_jobs(std::vector<Job> jobs, ProgressWriter& writer) {
  auto all = run_workers(std::move(jobs), {.parallel = globals().parallel, .on_tick = [&] { writer.tick(); }, .keep_going = true});
  writer.finish();
  if (!all) return std::move(all).error();
  return {};
}

/// Sends one step, as `pause` and `unpause` would, without a word when it succeeds.
Result<> one_step(const std::string& project, engine::Action action) {
  engine::Plan plan;
  plan.steps.push_back({.action = std::move(action), .reason = "commit", .after = {}});
  ASSIGN_OR_RETURN(const auto outcome, engine::client::execute(project, plan, {}));
  if (outcome.errors.empty()) return {};
  return outcome.errors.front().error;
}

/// Holds a container still, as an owner does: whatever happens it goes on again.
class Paused {
 public:
  static Result<Paused> hold(const std::string& project, const engine::ContainerInfo& container) {
    TRY(one_step(project, engine::action::PauseContainer{container.spec.name}));
    return Paused(project, container.spec.name);
  }
  Paused(Paused&& other) noexcept : project_(std::move(other.project_)), name_(std::exchange(other.name_, "")) {}
  Paused& operator=(Paused&&) = delete;
  Paused(const Paused&) = delete;
  Paused& operator=(const Paused&) = delete;
  ~Paused() {
    if (name_.empty()) return;
    if (const auto resumed = one_step(project_, engine::action::UnpauseContainer{name_}); !resumed)
      warn("container " + name_ + " stays paused: " + resumed.error().text());
  }

 private:
  Paused(std::string project, std::string name) : project_(std::move(project)), name_(std::move(name)) {}
  std::string project_, name_;
};

}  // namespace

Result<int> run_cp(const Parsed& parsed) {
  const std::string& source = parsed.arguments[0];
  const std::string& target = parsed.arguments[1];
  if (source.empty()) return usage_error("source can not be empty");
  if (target.empty()) return usage_error("destination can not be empty");
  const auto from = split(source), to = split(target);
  if (!from.service.empty() && !to.service.empty()) return make_error(ErrorKind::unsupported, "copying between services is not supported");
  if (from.service.empty() && to.service.empty()) return make_error(ErrorKind::invalid, "unknown copy direction");
  const auto direction = from.service.empty() ? Direction::in : Direction::out;
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto containers, copied_containers(v, direction == Direction::in ? to.service : from.service, direction, parsed));
  const bool stream = (direction == Direction::in ? from.path : to.path) == "-";
  if (stream && direction == Direction::in && containers.size() > 1)
    return make_error(ErrorKind::invalid, "an archive on standard input goes into one container: choose it with --index");
  const auto writer = make_progress("Copying");
  Failures failures;
  std::vector<Job> jobs;
  for (const auto* container : containers) {
    const std::string& name = container->spec.name;
    const std::string sentence = name + " copy " + (direction == Direction::in ? from.path + " to " + name + ":" + to.path
                                                                               : name + ":" + from.path + " to " + to.path);
    if (globals().dry_run) {
      writer->change({sentence, "Copying", "", true});
      writer->change({sentence, "Copied", "", true});
      continue;
    }
    std::vector<std::string> words{direction == Direction::in ? "container-copy-in" : "container-copy-out"};
    if (parsed.on("follow-link")) words.emplace_back("--follow-link");
    if (parsed.on("archive") && direction == Direction::in) words.emplace_back("--as-user");
    words.insert(words.end(), {"--", container->id, from.path, to.path});
    jobs.push_back(file_job(std::move(words), {sentence, "Copying", "", true}, "Copied", *writer, failures));
    jobs.back().our_input = stream && direction == Direction::in;
    jobs.back().our_output = stream && direction == Direction::out;
  }
  TRY(run_jobs(std::move(jobs), *writer));
  return failures.report();
}

Result<int> run_export(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments.front(), parsed.number("index")));
  const std::string output = parsed.text("output");
  if (output.empty() && is_terminal(STDOUT_FILENO)) return usage_error("output option is required when exporting to terminal");
  const auto folder = std::filesystem::path(output).parent_path();
  std::error_code ignored;
  if (!folder.empty() && !std::filesystem::is_directory(folder, ignored))
    return make_error(ErrorKind::not_found, "failed to export container: invalid output path: directory \"" + folder.string() + "\" does not exist");
  const std::string& name = container->spec.name;
  const std::string sentence = name + " export " + name + " to " + (output.empty() ? "stdout" : output);
  const auto writer = make_progress("Exporting");
  Failures failures;
  if (globals().dry_run) {
    writer->change({sentence, "Exporting", "", true});
    writer->change({sentence, "Exported", "", true});
    writer->finish();
    return 0;
  }
  std::vector<std::string> words{"container-export"};
  if (!output.empty()) words.insert(words.end(), {"--output", std::filesystem::absolute(output).string()});
  words.push_back(container->id);
  std::vector<Job> jobs{file_job(std::move(words), {sentence, "Exporting", "", true}, "Exported", *writer, failures)};
  jobs.front().our_output = output.empty();
  TRY(run_jobs(std::move(jobs), *writer));
  return failures.report();
}

Result<int> run_commit(const Parsed& parsed) {
  ASSIGN_OR_RETURN(const auto v, view({}));
  ASSIGN_OR_RETURN(const auto* container, container_of(v, parsed.arguments.front(), parsed.number("index")));
  const std::string sentence = container->spec.name + " Commit " + container->spec.name;
  const auto writer = make_progress("Committing");
  if (globals().dry_run) {
    writer->change({sentence, "Committing", "", true});
    writer->change({sentence, "Committed", "", true});
    writer->finish();
    return 0;
  }
  std::vector<std::string> words{"container-commit", "--progress", "json", "--author", parsed.text("author"), "--message", parsed.text("message")};
  for (const auto& change : parsed.list("change")) words.insert(words.end(), {"--change", change});
  words.insert(words.end(), {"--", container->id});
  if (parsed.arguments.size() > 1) words.push_back(parsed.arguments[1]);
  std::string id, failure;
  Job job;
  job.arguments = std::move(words);
  job.on_start = [&] { writer->change({sentence, "Committing", "", true}); };
  job.on_line = [&](const std::string& line) {
    constexpr std::string_view result = "{\"result\":", error = "{\"error\":";
    if (line.starts_with(result)) id = json_text(std::string_view(line).substr(result.size()), "id").value_or("");
    if (line.starts_with(error)) failure = json_text(std::string_view(line).substr(error.size()), "message").value_or("");
  };
  job.on_end = [&](int code, const std::string& errors) {
    if (code == 0) writer->change({sentence, "Committed as " + id, "", true});
    else if (failure.empty()) failure = plain(errors);
  };
  std::vector<Job> jobs;
  jobs.push_back(std::move(job));
  {
    std::optional<Paused> still;
    if (parsed.on("pause", true) && container->state == engine::ContainerState::running) {
      ASSIGN_OR_RETURN(auto held, Paused::hold(v.source.name, *container));
      still.emplace(std::move(held));
    }
    TRY(run_jobs(std::move(jobs), *writer));
  }
  if (failure.empty()) return 0;
  return make_error(ErrorKind::invalid, failure);
}

}  // namespace compose::cli
