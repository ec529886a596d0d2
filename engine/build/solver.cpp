#include "engine/build/solver.h"

#include <sched.h>
#include <sys/mount.h>

#include <thread>

#include "base/log.h"
#include "base/sys.h"

namespace engine::build {
namespace {

constexpr std::size_t workers_max = 2;

/// A mount namespace of this thread's own: what a step must attach somewhere disappears with the process, even killed.
void own_mounts() {
  if (::unshare(CLONE_NEWNS) != 0 || ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
    base::log::debug("build", "no mount namespace of its own");
}

}  // namespace

Result<images::Image> Solver::base_image(store::Store& store, const std::string& reference, const std::string& platform) {
  std::unique_lock all(images_mutex_);
  BaseImage& known = images_[reference + " " + platform];
  all.unlock();
  const std::lock_guard lock(known.mutex);
  if (known.image) return *known.image;
  ASSIGN_OR_RETURN(const auto name, parse_base(reference));
  const Vertex vertex = bench_.progress.begin("[internal] load metadata for " + name.full());
  const auto find = [&]() -> Result<images::Image> {
    images::ImageStore images(store);
    const bool by_id = images::is_digest(reference);  // of an OCI layout: it is nowhere else
    if (!bench_.request.pull || by_id) {
      auto here = images.resolve(reference);
      const std::string wanted = platform.empty() ? bench_.platform : platform;
      if (here && fits_platform(here->config.platform(), wanted)) return here;
      if (!here && (here.error().kind != base::ErrorKind::not_found || by_id)) return here;
      if (by_id) return base::make_error(base::ErrorKind::unsupported, "the layout's image is for " + here->config.platform() + ", wanted is " + wanted);
    }
    ASSIGN_OR_RETURN(const std::string id, bench_.pull(store, reference, platform));
    return images.by_id(id);
  };
  auto image = find();
  if (!image) {
    bench_.progress.error(vertex, image.error().text());
    auto error = std::move(image).error();
    error.context.push_back(reference + ": failed to resolve source metadata for " + name.full());
    return error;
  }
  bench_.progress.done(vertex);
  known.image = *image;
  return *image;
}

void Solver::record(registry::CacheEntry entry) {
  const std::lock_guard lock(mutex_);
  recorded_.push_back(std::move(entry));
}

std::optional<std::size_t> Solver::next_ready() {
  for (const auto& stage : bench_.plan.stages) {
    if (!bench_.plan.needed[stage.index] || taken_.contains(stage.index)) continue;
    const bool ready = std::all_of(stage.needs.begin(), stage.needs.end(), [&](std::size_t other) { return stages_[other].has_value(); });
    if (ready) return stage.index;
  }
  return std::nullopt;
}

Result<> Solver::need(store::Store& store, std::size_t index) {
  std::unique_lock lock(mutex_);
  if (!taken_.insert(index).second) {  // stages need only those above them: nobody waits for the one who waits here
    changed_.wait(lock, [&] { return failed_ || stages_[index]; });
    if (stages_[index]) return {};
    return base::make_error(base::ErrorKind::cancelled, "another stage failed");
  }
  lock.unlock();
  for (const std::size_t other : bench_.plan.stages[index].needs) TRY(need(store, other));
  Span where;
  ASSIGN_OR_RETURN(StageState state, StageBuilder(*this, store, bench_.plan.stages[index]).build(where));
  lock.lock();
  stages_[index] = std::move(state);
  changed_.notify_all();
  return {};
}

void Solver::work(Failure& failure) {
  own_mounts();
  auto store = store::Store::open();
  std::unique_lock lock(mutex_);
  const auto fail = [&](base::Error error, const Span& where) {
    if (!failed_) failure = {std::move(error), where};
    failed_ = true;
    stopping_ = true;
    const std::uint64_t one = 1;
    (void)base::sys::write_all(bench_.stop, std::string_view(reinterpret_cast<const char*>(&one), sizeof one));
    changed_.notify_all();
  };
  if (!store) return fail(std::move(store).error(), {});
  while (true) {
    std::optional<std::size_t> index;
    changed_.wait(lock, [&] {
      if (failed_ || stages_[bench_.plan.target]) return true;
      index = next_ready();
      // Nothing ready and nobody at work cannot be: cycles were refused.
      return index.has_value();
    });
    if (failed_ || !index) return;
    taken_.insert(*index);
    lock.unlock();
    Span where;
    auto built = StageBuilder(*this, *store, bench_.plan.stages[*index]).build(where);
    lock.lock();
    if (!built) return fail(std::move(built).error(), where);
    stages_[*index] = std::move(*built);
    changed_.notify_all();
  }
}

Result<StageState> Solver::solve(Failure& failure) {
  const auto needed = static_cast<std::size_t>(std::count(bench_.plan.needed.begin(), bench_.plan.needed.end(), true));
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < std::min(needed, workers_max); ++i) threads.emplace_back([&] { work(failure); });
  for (auto& thread : threads) thread.join();
  if (failed_) return failure.error;
  return *stages_[bench_.plan.target];
}

}  // namespace engine::build
