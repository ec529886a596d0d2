// One stage: its base, then its instructions in order.
#include "engine/build/copy.h"
#include "engine/build/solver.h"

namespace engine::build {
namespace {

bool makes_files(const Command& command) {
  return std::holds_alternative<instr::Run>(command.meaning) || std::holds_alternative<instr::Copy>(command.meaning) ||
         std::holds_alternative<instr::Workdir>(command.meaning);
}

int count_steps(const std::vector<Command>& commands) { return static_cast<int>(std::count_if(commands.begin(), commands.end(), makes_files)); }

int digits(int value) { return static_cast<int>(std::to_string(value).size()); }

}  // namespace

std::string StageBuilder::vertex_name(const std::string& text) {
  char number[48];
  std::snprintf(number, sizeof number, "%*d/%d] ", digits(step_count_), ++step_index_, step_count_);
  return "[" + (stage_.shown.empty() ? "" : stage_.shown + " ") + number + (in_trigger_ ? "ONBUILD " : "") + text;
}

std::string StageBuilder::shown_command(const Command& command) const {
  // As BuildKit shows it: RUN keeps its quotes and what the shell will replace.
  const auto* run = std::get_if<instr::Run>(&command.meaning);
  const bool raw = run != nullptr;
  const Lookup values = state_.meta.lookup();
  const Lookup masked = [&](const std::string& key) -> std::optional<std::string> {
    for (const auto& mount : raw ? run->mounts : std::vector<std::string>{})
      if (mount.find("type=secret") != std::string::npos && ("," + mount + ",").find(",env=" + key + ",") != std::string::npos) return "****";
    return values(key);
  };
  const auto text = expand_word(command.original, masked, {.escape = state_.meta.escape, .keep_quotes = raw, .keep_unset = raw});
  return text ? *text : command.original;
}

bool StageBuilder::use_cache() const {
  if (bench_.request.no_cache) return false;
  const auto& filter = bench_.request.no_cache_filter;
  return std::none_of(filter.begin(), filter.end(), [&](const std::string& name) { return lower(name) == stage_.name; });
}

Result<> StageBuilder::begin_from_image(const std::string& reference) {
  ASSIGN_OR_RETURN(const images::Image image, solver_.base_image(store_, reference, stage_.platform.empty() ? bench_.platform : stage_.platform));
  state_.meta.config = image.config;
  state_.meta.env.clear();
  state_.meta.begin_stage();
  state_.layers = {image.chain_ids, image.layer_dirs, {}};
  return {};
}

/// FROM a named folder: its files are the root.
Result<> StageBuilder::begin_from_context(Context& context) {
  state_.meta = scratch_meta(bench_.platform);
  const Tree tree = context.tree();
  ASSIGN_OR_RETURN(const Item item, list_item(tree, ""));
  ASSIGN_OR_RETURN(const std::string digest, digest_item(item, &context.digests()));
  Hasher key;
  key.field("context").field(digest);
  return layer_step(key.hex(), stage_.original, "FROM " + stage_.base, false, [&](StepLayer& layer, Vertex) -> Result<> {
    return copy_item(tree, item, {.root = layer.root(), .path = "/", .owner = {}, .chmod = {}, .mtime_s = bench_.epoch_s});
  });
}

Result<> StageBuilder::begin() {
  step_count_ = count_steps(stage_.commands);
  const std::string name = context_name(stage_.base);
  const auto context = bench_.contexts.find(name);
  const auto context_image = bench_.context_images.find(name);
  if (stage_.base_stage) {
    state_ = solver_.stage(*stage_.base_stage);
    state_.meta.cmd_set = false;
    state_.meta.begin_stage();
  } else if (context != bench_.contexts.end()) {
    ++step_count_;
    TRY(begin_from_context(*context->second));
  } else if (stage_.base == "scratch") {
    state_.meta = scratch_meta(bench_.platform);  // nothing is for all platforms: --platform does not count
  } else {
    ++step_count_;
    const bool named = context_image != bench_.context_images.end();
    const std::string reference = named ? context_image->second : stage_.base;
    TRY(begin_from_image(reference));
    const auto parsed = images::parse_reference(reference);
    const std::string shown = parsed ? parsed->full() : reference;
    const Vertex vertex = bench_.progress.begin(named ? "[context " + name + "] " + reference : vertex_name("FROM " + shown));
    bench_.progress.cached(vertex);
  }
  state_.meta.escape = bench_.file.escape;
  return run_triggers();
}

/// ONBUILD of the base runs first and is not handed on.
Result<> StageBuilder::run_triggers() {
  const auto texts = std::exchange(state_.meta.config.on_build, {});
  step_count_ += static_cast<int>(texts.size());
  in_trigger_ = true;
  for (const auto& text : texts) {
    // A trigger with heredocs is several lines: parsed like a file of its own.
    Span ignored;
    ASSIGN_OR_RETURN(const Dockerfile inner, parse_dockerfile("onbuild", text, ignored));
    for (const auto& instruction : inner.instructions) {
      ASSIGN_OR_RETURN(Command command, understand(instruction, bench_.file.escape));
      command.span = stage_.span;
      TRY(step(command).with("ONBUILD " + text));
    }
  }
  in_trigger_ = false;
  return {};
}

Result<> StageBuilder::step(const Command& command) {
  if (solver_.stopping()) return base::make_error(base::ErrorKind::cancelled, "the build was cancelled");
  if (const auto* one = std::get_if<instr::Run>(&command.meaning)) return run(*one, command);
  if (const auto* one = std::get_if<instr::Copy>(&command.meaning)) return copy(*one, command);
  if (const auto* one = std::get_if<instr::Workdir>(&command.meaning)) return workdir(*one, command);
  return apply_meta(state_.meta, command, {.plan = &bench_.plan, .args = &bench_.request.args, .platform_args = &bench_.platform_args});
}

Result<StageState> StageBuilder::build(Span& where) {
  where = stage_.span;
  TRY(begin());
  for (const auto& command : stage_.commands) {
    where = command.span;
    TRY(step(command));
  }
  return std::move(state_);
}

Result<std::optional<BuiltLayer>> StageBuilder::imported(const std::string& key, const std::string& shown, Vertex vertex) {
  if (bench_.caches == nullptr) return std::optional<BuiltLayer>();
  for (const auto& cache : *bench_.caches) {
    const auto* entry = cache->find(key);
    // A key says all about its step; that the layers below are ours is checked all the same.
    const auto& below = state_.meta.config.diff_ids;
    if (entry == nullptr || entry->diff_ids.size() != below.size() + 1 || !std::equal(below.begin(), below.end(), entry->diff_ids.begin())) continue;
    const auto chain = cache->fetch(store_, *entry);
    if (!chain) {  // only an accelerator
      bench_.progress.note(vertex, "the imported cache cannot be used: " + chain.error().text());
      continue;
    }
    TRY(remember(store_, key, *chain, shown, entry->created));
    return find_layer(store_, key, state_.layers.top());
  }
  return std::optional<BuiltLayer>();
}

Result<> StageBuilder::layer_step(const std::string& text_key, const std::string& shown, const std::string& history, bool bare,
                                  const std::function<Result<>(StepLayer&, Vertex)>& make) {
  const Vertex vertex = bench_.progress.begin(vertex_name(shown));
  // A layer whose files have other times is another layer: two builds of one SOURCE_DATE_EPOCH are one image, whatever was built before.
  const std::string key = bench_.epoch_s ? Hasher().field(text_key).field("epoch").number(*bench_.epoch_s).hex() : text_key;
  const auto finish = [&](const BuiltLayer& layer) {
    push(state_.layers, layer);
    state_.layers.made_by = key;
    state_.meta.config.diff_ids.push_back(layer.diff_id);
    add_history(state_.meta, history, false);
    state_.meta.config.history.back().created = bench_.epoch_s ? images::format_time_s(*bench_.epoch_s) : images::format_time(layer.created);
    solver_.record({.key = key, .text = shown, .diff_ids = state_.meta.config.diff_ids, .created = layer.created});
  };
  const auto failed = [&](base::Error error) -> Result<> {
    if (error.kind == base::ErrorKind::cancelled) bench_.progress.cancelled(vertex);
    else bench_.progress.error(vertex, error.text());
    return error;
  };
  base::UniqueFd lock;
  if (use_cache()) {
    // Two builds that want the same step: the second waits and finds it.
    auto taken = images::ImageStore::lock("step-" + key.substr(7));
    if (!taken) return failed(std::move(taken).error());
    lock = std::move(*taken);
    auto found = find_layer(store_, key, state_.layers.top());
    if (!found) return failed(std::move(found).error());
    if (!*found) {
      found = imported(key, shown, vertex);
      if (!found) return failed(std::move(found).error());
    }
    if (*found) {
      bench_.progress.cached(vertex);
      finish(**found);
      return {};
    }
  }
  auto layer = StepLayer::open(bench_.session, state_.layers, bare);
  if (!layer) return failed(std::move(layer).error());
  if (auto made = make(*layer, vertex); !made) return failed(std::move(made).error());
  auto built = layer->commit(store_, state_.layers, key, shown, bench_.epoch_s);
  if (!built) return failed(std::move(built).error());
  bench_.progress.done(vertex);
  finish(*built);
  return {};
}

Result<> StageBuilder::workdir(const instr::Workdir& workdir, const Command& command) {
  ASSIGN_OR_RETURN(const std::string path, workdir_of(state_.meta, workdir.path));
  const std::string shown = shown_command(command);
  state_.meta.config.working_dir = path;
  if (path == "/") {
    add_history(state_.meta, "WORKDIR /", true);
    return {};
  }
  Hasher key;
  const std::string folder = clean_path(path);
  key.field("workdir-3").field(state_.layers.key()).field(folder).field(state_.meta.config.user);
  return layer_step(key.hex(), shown, "WORKDIR " + path, false, [&](StepLayer& layer, Vertex) -> Result<> {
    ASSIGN_OR_RETURN(const Owner owner, parse_owner(layer.root(), state_.meta.config.user));
    if (!owner.unknown.empty() && state_.layers.folders.empty()) return no_accounts(owner.unknown);
    TRY(make_in_root(layer.root(), folder, {.uid = owner.uid, .gid = owner.gid, .mode = 0755}));
    return {};
  });
}

}  // namespace engine::build
