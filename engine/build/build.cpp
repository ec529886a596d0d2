#include "engine/build/build.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <cstdlib>
#include <set>

#include "base/sys.h"
#include "engine/api/docker_config.h"
#include "engine/build/build_hooks.h"
#include "engine/build/cache_options.h"
#include "engine/build/checks.h"
#include "engine/build/solver.h"
#include "engine/build/step_network.h"
#include "engine/build/words.h"
#include "engine/registry/archive.h"
#include "engine/registry/cache.h"
#include "engine/registry/image_index.h"
#include "engine/registry/transfer.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t dockerfile_bytes_max = 16u << 20;

base::Error unsupported(std::string message) { return base::make_error(base::ErrorKind::unsupported, std::move(message)); }

/// What this builder cannot honour is refused, not ignored.
Result<> check_request(const BuildRequest& request) {
  for (const auto& to : request.cache_to) TRY(parse_cache_place(to, true));
  if (!request.isolation.empty() && request.isolation != "default") return unsupported("isolation " + request.isolation + " is not supported on Linux");
  const auto wanted = [](const std::string& value) { return !value.empty() && value != "false" && value != "0"; };
  if (wanted(request.provenance)) return unsupported("attestation provenance is not supported");
  if (wanted(request.sbom)) return unsupported("attestation sbom is not supported");
  if (!request.network.empty() && request.network != "default" && request.network != "host" && request.network != "none")
    return unsupported("network mode \"" + request.network + "\" is not supported for builds (default, host or none)");
  return {};
}

/// The umask would change the modes of what is copied.
class NoUmask {
 public:
  NoUmask() : old_(::umask(0)) {}
  ~NoUmask() { ::umask(old_); }
  NoUmask(const NoUmask&) = delete;
  NoUmask& operator=(const NoUmask&) = delete;

 private:
  mode_t old_;
};

/// Seconds. Errors: invalid, in Docker's words.
Result<std::optional<std::int64_t>> source_date_epoch(const BuildRequest& request) {
  std::string text;
  if (const auto arg = request.args.find("SOURCE_DATE_EPOCH"); arg != request.args.end()) text = arg->second;
  else if (const char* env = std::getenv("SOURCE_DATE_EPOCH")) text = env;
  if (text.empty()) return std::optional<std::int64_t>();
  const std::size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const bool number = text.size() > sign && text.find_first_not_of("0123456789", sign) == std::string::npos;
  constexpr std::size_t digits_max = 11;  // the year 5138; RFC 3339 ends with 9999
  if (number && text.size() - sign <= digits_max) return std::optional<std::int64_t>(std::stoll(text));
  return base::make_error(base::ErrorKind::invalid, "invalid SOURCE_DATE_EPOCH: " + text + ": strconv.ParseInt: parsing \"" + text + "\": " +
                                                        (number ? "value out of range" : "invalid syntax"));
}

using ForCaches = std::map<std::string, std::vector<registry::CacheEntry>>;  ///< cache_to's text → steps

/// One build, in order: definition, contexts, stages, image.
class Build {
 public:
  Build(const BuildRequest& request, Progress& progress, const BuildHooks& hooks, ForCaches& collected)
      : request_(request), hooks_(hooks), progress_(progress), collected_(collected) {}

  Result<BuildResult> run(Session& session, Span& where) {
    platform_ = images::host_platform();
    if (!request_.platforms.empty()) {
      ASSIGN_OR_RETURN(platform_, normal_platform(request_.platforms.front(), images::host_platform()));
    }
    ASSIGN_OR_RETURN(epoch_s_, source_date_epoch(request_));
    platform_args_ = platform_arguments(platform_, images::host_platform());
    platform_args_["TARGETSTAGE"] = request_.target.empty() ? "default" : request_.target;
    TRY(open_contexts(session));
    TRY(load_definition());
    auto planned = plan(where);
    ASSIGN_OR_RETURN(const CheckOptions checks, check_options());
    if (!planned) {
      if (request_.check) print_report(check_unplanned(file_, plan_, options_, checks, parse_error_line_), false);
      return std::move(planned).error();
    }
    TRY(load_ignore());
    if (request_.check) return check(checks, where);
    if (checks.fail) TRY(refuse_findings(look(checks, true).findings));
    auto state = solve(session, where);
    // The base images are here now: what is said of their variables costs nothing.
    std::vector<std::string> lines;
    for (const auto& finding : look(checks, false).findings) lines.push_back(finding_text(finding));
    if (!state) {
      progress_.warnings(lines);
      return std::move(state).error();
    }
    where = {};
    ASSIGN_OR_RETURN(BuildResult result, export_image(*state));
    TRY(collect_for_caches(*state));
    for (auto& context : opened_) context->save_digests();
    progress_.warnings(lines);
    return result;
  }
  [[nodiscard]] const Dockerfile& file() const { return file_; }

 private:
  Result<> open_contexts(Session& session) {
    const auto keep = request_.args.find("BUILDKIT_CONTEXT_KEEP_GIT_DIR");
    const bool keep_git_dir = keep != request_.args.end() && parse_bool(keep->second).value_or(false);
    ASSIGN_OR_RETURN(Context main, Context::open(session, request_.context, keep_git_dir));
    opened_.push_back(std::make_unique<Context>(std::move(main)));
    for (const auto& [name, value] : request_.additional_contexts) {
      if (value.starts_with("docker-image://")) {
        context_images_[context_name(name)] = value.substr(15);
        continue;
      }
      if (value.starts_with("oci-layout://")) {
        ASSIGN_OR_RETURN(context_images_[context_name(name)], load_oci_layout(value.substr(13)).with("additional context " + name));
        continue;
      }
      if (value.starts_with("target:") || value.starts_with("service:"))
        return unsupported("additional context " + name + ": " + value + " is not supported");
      ASSIGN_OR_RETURN(Context context, Context::open(session, value).with("additional context " + name));
      TRY(context.load_ignore(""));
      opened_.push_back(std::make_unique<Context>(std::move(context)));
      contexts_[context_name(name)] = opened_.back().get();
    }
    return {};
  }

  /// "/folder[:tag][@digest]": the image's id, once it is in the store.
  static Result<std::string> load_oci_layout(const std::string& text) {
    const std::size_t at = text.find('@');
    std::string folder = text.substr(0, at), digest = at == std::string::npos ? "" : text.substr(at + 1), tag;
    if (const std::size_t colon = folder.rfind(':'); colon != std::string::npos && folder.find('/', colon) == std::string::npos) {
      tag = folder.substr(colon + 1);
      folder.resize(colon);
    }
    ASSIGN_OR_RETURN(store::Store store, store::Store::open());
    ASSIGN_OR_RETURN(const auto loaded, registry::load_layout(store, folder, {.progress = {}, .keep_names = false, .tag = tag, .digest = digest}));
    if (loaded.size() != 1)
      return base::make_error(base::ErrorKind::invalid, folder + (loaded.empty() ? ": holds no such image" : ": holds several images; name one as FOLDER:TAG or FOLDER@DIGEST"));
    return loaded.front().id;
  }

  Result<std::string> read_dockerfile(const std::string& name) {
    const fs::path path = name.starts_with('/') ? fs::path(name) : opened_.front()->folder() / name;
    auto text = base::sys::read_file(path, dockerfile_bytes_max);
    if (text) return text;
    if (text.error().kind == base::ErrorKind::not_found)
      return base::make_error(base::ErrorKind::not_found,
                              "failed to read dockerfile: open " + path.filename().string() + ": no such file or directory");
    return std::move(text).with("failed to read dockerfile");
  }

  Result<> load_definition() {
    const std::string name = request_.dockerfile.empty() ? "Dockerfile" : request_.dockerfile;
    const std::string shown = request_.dockerfile_inline ? "Dockerfile" : fs::path(name).filename().string();
    const Vertex vertex = progress_.begin("[internal] load build definition from " + shown);
    auto text = request_.dockerfile_inline ? Result<std::string>(*request_.dockerfile_inline) : read_dockerfile(name);
    if (!text) {
      progress_.error(vertex, text.error().text());
      return std::move(text).error();
    }
    progress_.note(vertex, "transferring dockerfile: " + size_text(static_cast<std::int64_t>(text->size())) + " done");
    progress_.done(vertex);
    file_.name = shown;
    text_ = std::move(*text);
    return {};
  }

  /// The definition's stages. A file that does not parse is kept as its lines, for the excerpt.
  Result<> plan(Span& where) {
    auto parsed = parse_dockerfile(file_.name, text_, where);
    if (!parsed) {
      file_ = lines_only(file_.name, text_);
      return std::move(parsed).error();
    }
    file_ = std::move(*parsed);
    options_ = {.target = request_.target, .args = request_.args, .platform_args = platform_args_, .contexts = {}};
    for (const auto& [context, value] : request_.additional_contexts) options_.contexts.insert(context_name(context));
    auto planned = plan_stages(file_, options_, where, &plan_);
    if (planned) {
      plan_ = std::move(*planned);
      return {};
    }
    for (const auto& instruction : file_.instructions)  // an instruction that is not understood: those below it were not looked at
      if (where.first > 0 && instruction.span.first == where.first && !understand(instruction, file_.escape)) parse_error_line_ = where.first;
    return std::move(planned).error();
  }

  /// For the excerpt of a file that does not parse.
  static Dockerfile lines_only(const std::string& name, const std::string& text) {
    Dockerfile file;
    file.name = name;
    std::size_t start = 0;
    while (true) {
      const std::size_t end = text.find('\n', start);
      file.lines.push_back(text.substr(start, end == std::string::npos ? end : end - start));
      if (end == std::string::npos) return file;
      start = end + 1;
    }
  }

  Result<> load_ignore() {
    const Vertex vertex = progress_.begin("[internal] load .dockerignore");
    auto bytes = opened_.front()->load_ignore(request_.dockerfile_inline ? "" : request_.dockerfile.empty() ? "Dockerfile" : request_.dockerfile);
    if (!bytes) {
      progress_.error(vertex, bytes.error().text());
      return std::move(bytes).error();
    }
    progress_.note(vertex, "transferring context: " + size_text(static_cast<std::int64_t>(*bytes) + 2) + " done");
    progress_.done(vertex);
    for (const auto& from : request_.cache_from) {  // only an accelerator: said, not fatal
      const Vertex cache = progress_.begin("importing cache manifest from " + from);
      auto opened = [&]() -> Result<std::unique_ptr<registry::CacheSource>> {
        ASSIGN_OR_RETURN(const CachePlace place, parse_cache_place(from, false));
        return registry::CacheSource::open(place.where);
      }();
      if (opened) {
        caches_.push_back(std::move(*opened));
        progress_.done(cache);
      } else {
        progress_.error(cache, opened.error().text());
      }
    }
    return {};
  }

  /// BUILDKIT_DOCKERFILE_CHECK, else the "# check=" line up to its first blank.
  Result<CheckOptions> check_options() const {
    if (const auto arg = request_.args.find("BUILDKIT_DOCKERFILE_CHECK"); arg != request_.args.end())
      return CheckOptions::parse(arg->second).with("failed to parse build-arg:BUILDKIT_DOCKERFILE_CHECK");
    const auto words = split_blank(file_.check);
    return CheckOptions::parse(words.empty() ? "" : words.front()).with("failed to parse check options");
  }

  /// `ask`: base images that are not here are looked up in their registries.
  Checked look(const CheckOptions& checks, bool ask) {
    return check_dockerfile(file_, plan_, options_, checks,
                            {.ignore = &opened_.front()->ignore(), .base = [&](const Stage& stage) { return base_config(stage, ask); },
                             .platform = platform_, .every_stage = request_.check && request_.target.empty()});
  }

  static Result<> refuse_findings(const std::vector<Finding>& findings) {
    std::vector<std::string> rules;
    for (const auto& finding : findings)
      if (std::find(rules.begin(), rules.end(), finding.rule) == rules.end()) rules.push_back(finding.rule);
    std::string names;
    for (const auto& rule : rules) names += (names.empty() ? "" : ", ") + rule;
    return names.empty() ? Result<>() : base::make_error(base::ErrorKind::invalid, "lint violation found for rules: " + names);
  }

  /// What a stage's base image is; nothing when neither this machine nor its registry tells.
  Result<std::optional<images::ImageConfig>> base_config(const Stage& stage, bool ask) {
    const auto name = context_name(stage.base);
    if (contexts_.contains(name)) return std::optional(scratch_meta(platform_).config);
    const auto replaced = context_images_.find(name);
    const std::string reference = replaced == context_images_.end() ? stage.base : replaced->second;
    const std::string platform = stage.platform.empty() ? platform_ : stage.platform;
    ASSIGN_OR_RETURN(const auto parsed, parse_base(reference));
    ASSIGN_OR_RETURN(store::Store store, store::Store::open());
    const auto here = images::ImageStore(store).resolve(reference);
    const bool fits = here && (!ask || fits_platform(here->config.platform(), platform));
    if (fits && !(ask && request_.pull && !images::is_digest(reference))) return std::optional(here->config);
    if (!ask || hooks_.pull || images::is_digest(reference)) return std::optional<images::ImageConfig>();
    const Vertex vertex = progress_.begin("[internal] load metadata for " + parsed.full());
    auto config = registry::remote_config(reference, platform);
    if (config) {
      progress_.done(vertex);
      return std::optional(std::move(*config));
    }
    progress_.error(vertex, config.error().text());
    return std::optional<images::ImageConfig>();
  }

  /// --check. What cannot be built is an error, after what was found until there.
  Result<BuildResult> check(const CheckOptions& checks, Span& where) {
    auto checked = look(checks, true);
    print_report(checked.findings, !checked.error);
    where = checked.where;
    if (checked.error) return *std::move(checked.error);
    if (checks.fail) TRY(refuse_findings(checked.findings));
    if (checked.findings.empty()) return BuildResult{};
    const auto count = std::to_string(checked.findings.size());
    return base::make_error(base::ErrorKind::invalid, "the build checks found " + count + (checked.findings.size() == 1 ? " warning" : " warnings"));
  }

  /// As `docker build --check` prints it.
  void print_report(const std::vector<Finding>& findings, bool whole) {
    if (findings.empty()) {
      if (whole) progress_.text("Check complete, no warnings found.\n");
      return;
    }
    std::string text = "Check complete, " + std::to_string(findings.size()) + (findings.size() == 1 ? " warning has" : " warnings have") + " been found!\n";
    for (const auto& finding : findings) {
      const auto address = rule_address(finding.rule);
      text += "\nWARNING: " + finding.rule + (address.empty() ? "" : " - " + address) + "\n" + finding.message + "\n" + excerpt(file_, finding.where);
    }
    progress_.text(text);
  }

  Result<StageState> solve(Session& session, Span& where) {
    ASSIGN_OR_RETURN(const long stop_number, base::sys::wrap("eventfd", ::eventfd(0, EFD_CLOEXEC)));
    const UniqueFd stop(static_cast<int>(stop_number));
    auto runner = hooks_.runner ? hooks_.runner(session) : make_runtime_runner(session, cancel_event(), stop.borrow());
    PullFunction pull = hooks_.pull;
    if (!pull)
      pull = [](store::Store& store, const std::string& reference, const std::string& platform) -> Result<std::string> {
        ASSIGN_OR_RETURN(const auto pulled, registry::pull(store, reference, {.platform = platform, .any_platform = true, .progress = {}}));
        return pulled.id;
      };
    StepNetwork network(session);
    Workbench bench{.request = request_,
                    .file = file_,
                    .plan = plan_,
                    .session = session,
                    .progress = progress_,
                    .runner = *runner,
                    .network = hooks_.runner ? nullptr : &network,
                    .pull = std::move(pull),
                    .context = opened_.front().get(),
                    .contexts = contexts_,
                    .context_images = context_images_,
                    .platform_args = platform_args_,
                    .platform = platform_,
                    .epoch_s = epoch_s_,
                    .caches = &caches_,
                    .stop = stop.borrow()};
    Solver solver(bench);
    Failure failure;
    auto state = solver.solve(failure);
    recorded_ = solver.recorded();
    if (!state) {
      where = failure.where;
      for (auto& context : opened_) context->save_digests();
    }
    return state;
  }

  Result<BuildResult> export_image(StageState& state) {
    const Vertex vertex = progress_.begin("exporting to image");
    auto result = store_image(state, vertex);
    if (!result) progress_.error(vertex, result.error().text());
    else progress_.done(vertex);
    return result;
  }

  /// What cache_to will keep: every step (mode=max) or those of the image.
  Result<> collect_for_caches(const StageState& state) {
    const auto& image = state.meta.config.diff_ids;
    for (const auto& to : request_.cache_to) {
      ASSIGN_OR_RETURN(const CachePlace place, parse_cache_place(to, true));
      if (place.in_image) continue;  // it went with the config
      auto& kept = collected_[to];
      for (const auto& entry : recorded_) {
        const bool of_image = entry.diff_ids.size() <= image.size() && std::equal(entry.diff_ids.begin(), entry.diff_ids.end(), image.begin());
        if (place.whole || of_image) kept.push_back(entry);
      }
    }
    return {};
  }

  /// A platform that was asked for is the image's, whatever the base says. Source: dockerfile2llb toDispatchState.
  void set_platform(images::ImageConfig& config) const {
    if (!request_.platforms.empty()) {
      const bool same = os_and_architecture(config.platform()) == os_and_architecture(platform_);
      config.os = platform_args_.at("TARGETOS");
      config.architecture = platform_args_.at("TARGETARCH");
      if (const auto& variant = platform_args_.at("TARGETVARIANT"); !variant.empty() || !same) config.variant = variant;
    }
    if (config.architecture == "arm64" && config.variant == "v8") config.variant.clear();  // there is no other
  }

  Result<BuildResult> store_image(StageState& state, Vertex vertex) {
    images::ImageConfig config = state.meta.config;
    for (const auto& [key, value] : request_.labels) config.labels[key] = value;
    if (epoch_s_) {
      for (auto& entry : config.history)
        if (entry.created.empty()) entry.created = images::format_time_s(*epoch_s_);
    }
    set_platform(config);
    finish_times(config);
    if (epoch_s_ && !config.created.empty()) config.created = images::format_time_s(*epoch_s_);
    images::NewImage image;
    image.config_json = images::to_json(config);
    for (const auto& to : request_.cache_to) {
      ASSIGN_OR_RETURN(const CachePlace place, parse_cache_place(to, true));
      if (!place.in_image) continue;
      ASSIGN_OR_RETURN(image.config_json, registry::with_inline_cache(image.config_json, recorded_));
    }
    image.chain_ids = state.layers.chain_ids;
    std::vector<std::string> shown;
    for (const auto& tag : request_.tags) {
      ASSIGN_OR_RETURN(const auto name, images::parse_reference(tag));
      image.references.push_back(name.full());
      shown.push_back(name.tag == "latest" ? name.name() : name.full());
    }
    ASSIGN_OR_RETURN(store::Store store, store::Store::open());
    images::ImageStore images(store);
    BuildResult result;
    ASSIGN_OR_RETURN(result.image_id, images.add(image));
    progress_.note(vertex, "exporting layers done");
    progress_.note(vertex, "writing image " + result.image_id + " done");
    for (const auto& name : shown) progress_.note(vertex, "naming to " + name + " done");
    return result;
  }

  const BuildRequest& request_;
  const BuildHooks& hooks_;
  Progress& progress_;
  ForCaches& collected_;
  std::string platform_;
  std::optional<std::int64_t> epoch_s_;  ///< SOURCE_DATE_EPOCH
  std::map<std::string, std::string> platform_args_;
  std::vector<std::unique_ptr<Context>> opened_;  ///< [0] the main one
  std::map<std::string, Context*> contexts_;
  std::map<std::string, std::string> context_images_;
  std::vector<std::unique_ptr<registry::CacheSource>> caches_;
  std::vector<registry::CacheEntry> recorded_;
  std::string text_;           ///< of the Dockerfile
  Dockerfile file_;
  StageOptions options_;
  StagePlan plan_;
  int parse_error_line_ = 0;   ///< of the instruction that is not understood
};

Result<> export_caches(const ForCaches& collected, Progress& progress) {
  for (const auto& [to, entries] : collected) {
    ASSIGN_OR_RETURN(const CachePlace place, parse_cache_place(to, true));
    const Vertex vertex = progress.begin("exporting cache to " + to);
    ASSIGN_OR_RETURN(store::Store store, store::Store::open());
    const auto done = registry::export_cache(store, entries, place.where);
    if (done) {
      progress.done(vertex);
      continue;
    }
    progress.error(vertex, done.error().text());
    if (!place.may_fail) return done.error();
  }
  return {};
}

/// The build of one request, and of the file whose lines its failure shows.
Result<BuildResult> build_one(const BuildRequest& request, Session& session, Progress& progress, const BuildHooks& hooks, ForCaches& collected,
                              std::string& lines) {
  Build build(request, progress, hooks, collected);
  Span where;
  auto result = build.run(session, where);
  if (!result) lines = excerpt(build.file(), point_at(build.file(), where, result.error().text()));
  return result;
}

/// One image a platform, then an index of all under the names. Here the names mean the image for this machine, else the first.
Result<BuildResult> build_platforms(const BuildRequest& request, Session& session, Progress& progress, const BuildHooks& hooks,
                                    ForCaches& collected, std::string& lines) {
  const auto host = images::host_platform();
  std::vector<std::string> ids;
  std::set<std::string> platforms;
  BuildResult main;
  for (const auto& text : request.platforms) {
    ASSIGN_OR_RETURN(const auto platform, normal_platform(text, host));
    if (!platforms.insert(platform).second) continue;
    BuildRequest one = request;
    one.platforms = {platform};
    one.tags.clear();
    progress.set_platform(platform);
    ASSIGN_OR_RETURN(const auto built, build_one(one, session, progress, hooks, collected, lines).with("platform " + platform));
    if (request.check) return built;  // the file is the same for all
    ids.push_back(built.image_id);
    if (main.image_id.empty() || platform == host) main = built;
  }
  progress.set_platform("");
  if (request.tags.empty()) return main;
  const Vertex vertex = progress.begin("exporting manifest list");
  const auto named = [&]() -> Result<std::string> {
    ASSIGN_OR_RETURN(store::Store store, store::Store::open());
    return registry::name_index(store, ids, main.image_id, request.tags);
  }();
  if (!named) {
    progress.error(vertex, named.error().text());
    return named.error();
  }
  progress.note(vertex, "exporting manifest list " + *named + " done");
  for (const auto& tag : request.tags) progress.note(vertex, "naming to " + tag + " done");
  progress.done(vertex);
  return main;
}

}  // namespace

Result<BuildResult> build_image_with(const BuildRequest& asked, base::Fd out, const BuildHooks& hooks, BuildFailure* failure) {
  const auto fail = [&](base::Error error, const std::string& lines) -> Result<BuildResult> {
    if (builds_cancelled()) error = base::make_error(base::ErrorKind::cancelled, "the build was cancelled");
    else error.context.push_back("failed to solve");
    if (failure != nullptr) *failure = {error, builds_cancelled() ? "" : lines};
    return error;
  };
  if (auto checked = check_request(asked); !checked) return fail(std::move(checked).error(), "");
  if (auto made = images::prepare_folders(); !made) return fail(std::move(made).error(), "");
  const NoUmask no_umask;
  (void)cancel_event();
  auto lease = images::ImageStore::lease();  // what this build makes is not garbage yet
  if (!lease) return fail(std::move(lease).error(), "");
  auto session = Session::open();
  if (!session) return fail(std::move(session).error(), "");
  BuildRequest request = asked;
  auto proxies = docker_build_proxies();  // what the build says itself wins
  if (!proxies) return fail(std::move(proxies).error(), "");
  for (const auto& [name, value] : *proxies)
    if (!request.args.contains(name) && !request.args.contains(lower(name))) request.args[name] = value;
  Progress progress(out, request.progress);
  std::string lines;
  ForCaches collected;
  auto result = request.platforms.size() > 1 ? build_platforms(request, *session, progress, hooks, collected, lines)
                                             : build_one(request, *session, progress, hooks, collected, lines);
  if (!result) return fail(std::move(result).error(), lines);
  if (auto exported = export_caches(collected, progress); !exported) return fail(std::move(exported).error(), "");
  if (!request.check) progress.result(result->image_id);
  if (!request.iidfile.empty())
    if (auto written = base::sys::replace_file(request.iidfile, result->image_id, 0644); !written) return fail(std::move(written).error(), "");
  return result;
}

Result<BuildResult> build_image(const BuildRequest& request, base::Fd out, BuildFailure* failure) {
  return build_image_with(request, out, {}, failure);
}

}  // namespace engine::build
