#pragma once
// Builds the stages a target needs: in parallel where they are independent, each step from the cache or anew.
#include <atomic>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "engine/build/build.h"
#include "engine/build/cancel.h"
#include "engine/build/context.h"
#include "engine/build/layer.h"
#include "engine/build/meta.h"
#include "engine/build/progress.h"
#include "engine/build/session.h"
#include "engine/build/step_runner.h"
#include "engine/registry/cache.h"

namespace engine::build {

/// Gets an image that is not here (or must be fresh) and returns its id.
using PullFunction = std::function<Result<std::string>(store::Store&, const std::string& reference, const std::string& platform)>;

/// All a build works with. Owned by build_image; outlives the solver.
struct Workbench {
  const BuildRequest& request;
  const Dockerfile& file;
  const StagePlan& plan;
  Session& session;
  Progress& progress;
  StepRunner& runner;
  class StepNetwork* network = nullptr;                 ///< of RUN steps; null: none is made (tests with their own runner)
  PullFunction pull;
  Context* context = nullptr;                           ///< null: no local context
  std::map<std::string, Context*> contexts;             ///< additional ones that are folders
  std::map<std::string, std::string> context_images;    ///< additional ones that are images
  std::map<std::string, std::string> platform_args;
  std::string platform;                                 ///< the target's
  std::optional<std::int64_t> epoch_s;                  ///< SOURCE_DATE_EPOCH
  std::vector<std::unique_ptr<registry::CacheSource>>* caches = nullptr;  ///< cache_from
  base::Fd stop;                                        ///< eventfd: written when running steps shall end
};

struct StageState {
  StageMeta meta;
  Layers layers;
};

/// Where a build failed.
struct Failure {
  base::Error error;
  Span where;
};

class Solver {
 public:
  explicit Solver(Workbench& bench) : bench_(bench), stages_(bench.plan.stages.size()) {}
  /// The target's state. On error `failure` holds the first one and its lines; running steps end before this returns.
  Result<StageState> solve(Failure& failure);

  // For the stage builders (any thread).
  Result<images::Image> base_image(store::Store& store, const std::string& reference, const std::string& platform);
  const StageState& stage(std::size_t index) const { return *stages_[index]; }
  /// A stage that only a trigger of a base image turned out to need, which must stand above the one that needs it: built here, or
  /// waited for when it was begun already.
  Result<> need(store::Store& store, std::size_t index);
  /// A step that is done: what cache_to exports.
  void record(registry::CacheEntry entry);
  [[nodiscard]] const std::vector<registry::CacheEntry>& recorded() const { return recorded_; }
  [[nodiscard]] bool stopping() const { return stopping_ || builds_cancelled(); }
  Workbench& bench() { return bench_; }

 private:
  void work(Failure& failure);
  std::optional<std::size_t> next_ready();

  Workbench& bench_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::optional<StageState>> stages_;
  std::set<std::size_t> taken_;
  std::vector<registry::CacheEntry> recorded_;
  std::atomic<bool> stopping_ = false;
  bool failed_ = false;

  /// One look-up, one pull, of each image; different ones at the same time.
  struct BaseImage {
    std::mutex mutex;
    std::optional<images::Image> image;
  };
  std::mutex images_mutex_;
  std::map<std::string, BaseImage> images_;
};

/// Builds one stage in the calling thread.
class StageBuilder {
 public:
  StageBuilder(Solver& solver, store::Store& store, const Stage& stage) : solver_(solver), bench_(solver.bench()), store_(store), stage_(stage) {}
  /// On error `where` names the instruction.
  Result<StageState> build(Span& where);

 private:
  struct TreeSource;  // a tree to copy from, with what keeps it alive
  struct Gathered;    // the sources of one COPY

  Result<> begin();
  Result<> begin_from_image(const std::string& reference);
  Result<> begin_from_context(Context& context);
  Result<> step(const Command& command);
  Result<> run_triggers();
  std::string vertex_name(const std::string& text);
  std::string shown_command(const Command& command) const;

  Result<> workdir(const instr::Workdir& workdir, const Command& command);
  Result<> copy(const instr::Copy& copy, const Command& command);
  Result<> run(const instr::Run& run, const Command& command);

  /// The cached layer of `key`, else the one `make` fills; pushed, with its history.
  Result<> layer_step(const std::string& key, const std::string& shown, const std::string& history, bool bare,
                      const std::function<Result<>(StepLayer&, Vertex)>& make);
  [[nodiscard]] bool use_cache() const;
  /// The layer of `key` out of cache_from, now in the store; nothing when none has it.
  Result<std::optional<BuiltLayer>> imported(const std::string& key, const std::string& shown, Vertex vertex);

  // COPY and ADD (step_copy.cpp).
  /// `numbers`: they name stages (COPY --from; not so RUN --mount from).
  Result<TreeSource> tree_source(const std::string& from, bool numbers);
  Result<> open_tree(TreeSource& source);
  Result<Gathered> gather(const instr::Copy& copy);
  Result<> gather_tree(const instr::Copy& copy, Gathered& gathered, bool numbers);
  Result<> gather_git(const instr::Copy& copy, const std::string& url, Gathered& gathered);
  Result<> gather_url(const std::string& url, Gathered& gathered);
  Result<> place(const instr::Copy& copy, Gathered& gathered, StepLayer& layer, Vertex vertex);
  Result<> go_direct(const instr::Copy& copy, const Gathered& gathered, StepLayer& layer, struct CopyTarget& target);
  Result<> place_item(const instr::Copy& copy, Gathered& gathered, std::size_t index, const CopyTarget& target);

  /// The digest of what a COPY of these would see.
  Result<std::string> content_key(const instr::Copy& copy);
  /// A tree for RUN --mount.
  Result<struct ReadyTree> ready_tree(const std::string& from);

  // RUN (step_run.cpp).
  Result<std::vector<RunMount>> run_mounts(const instr::Run& run);
  Result<std::string> mount_key(const RunMount& mount);
  Result<std::vector<std::string>> run_words(const instr::Run& run, std::optional<std::string>& script, std::string& shown);
  Result<> execute(const instr::Run& run, const std::vector<RunMount>& mounts, const std::vector<std::string>& words,
                      const std::optional<std::string>& script, StepLayer& layer, Vertex vertex);
  std::vector<std::string> run_environment(const std::string& home) const;

  Solver& solver_;
  Workbench& bench_;
  store::Store& store_;
  const Stage& stage_;
  StageState state_;
  std::vector<Command> triggers_;
  int step_count_ = 0, step_index_ = 0;
  bool in_trigger_ = false;
  Span where_;
};

}  // namespace engine::build
