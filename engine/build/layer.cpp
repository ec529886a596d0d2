#include "engine/build/layer.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/build/copy.h"
#include "engine/build/progress.h"
#include "engine/containers/root.h"
#include "engine/registry/pack.h"

namespace engine::build {

Result<std::optional<BuiltLayer>> find_layer(store::Store& store, const std::string& key, const std::string& below) {
  ASSIGN_OR_RETURN(const auto record, store.cache_entry(key));
  if (!record || record->chain_id.empty()) return std::optional<BuiltLayer>();
  images::ImageStore images(store);
  ASSIGN_OR_RETURN(const bool there, images.has_layer(record->chain_id));
  if (!there) return std::optional<BuiltLayer>();
  ASSIGN_OR_RETURN(const auto layer, store.layer(record->chain_id));
  // The step below may have been made anew, with other bytes, while this one was kept.
  if (!layer || layer->parent_chain_id != below) return std::optional<BuiltLayer>();
  return std::optional(BuiltLayer{.chain_id = record->chain_id, .diff_id = layer->diff_id, .created = record->created});
}

Result<StepLayer> StepLayer::open(Session& session, const Layers& below, bool bare) {
  StepLayer step;
  ASSIGN_OR_RETURN(const auto folder, session.new_folder());
  step.upper_ = folder / "upper";
  step.work_ = folder / "work";
  TRY(base::sys::make_directories(step.upper_, 0755));
  TRY(base::sys::make_directories(step.work_, 0700));
  TRY(base::sys::wrap("chmod", ::chmod(step.upper_.c_str(), 0755)));  // whatever the umask says
  if (bare || below.folders.empty()) {
    ASSIGN_OR_RETURN(step.root_, base::sys::open(step.upper_, O_RDONLY | O_DIRECTORY));
    return step;
  }
  // The root folder's own rights come from the writable layer.
  struct stat top {};
  if (::stat(below.folders.back().c_str(), &top) == 0) {
    TRY(base::sys::wrap("chown", ::chown(step.upper_.c_str(), top.st_uid, top.st_gid)));
    TRY(base::sys::wrap("chmod", ::chmod(step.upper_.c_str(), top.st_mode & 07777)));
  }
  ASSIGN_OR_RETURN(step.root_, containers::mount_root(below.folders, {.upper = step.upper_, .work = step.work_, .no_sync = true}));
  return step;
}

Result<> StepLayer::as_mount(const Layers& below) {
  if (!below.folders.empty()) return {};  // it is one
  ASSIGN_OR_RETURN(root_, containers::mount_root({}, {.upper = upper_, .work = work_, .no_sync = true}));
  return {};
}

Result<> StepLayer::open_writable() {
  close();
  ASSIGN_OR_RETURN(root_, base::sys::open(upper_, O_RDONLY | O_DIRECTORY));
  return {};
}

Result<BuiltLayer> StepLayer::commit(store::Store& store, const Layers& below, const std::string& key, const std::string& text,
                                     std::optional<std::int64_t> epoch_s) {
  close();
  images::NewLayer layer;
  {
    ASSIGN_OR_RETURN(const UniqueFd upper, base::sys::open(upper_, O_RDONLY | O_DIRECTORY));
    if (epoch_s) TRY(clamp_times(upper.borrow(), *epoch_s));
    ASSIGN_OR_RETURN(const auto packed, registry::pack(upper.borrow(), {}, {}));
    layer.diff_id = packed.diff_id;
    layer.size_bytes = packed.content_bytes;
  }
  layer.parent_chain_id = below.top();
  images::ImageStore images(store);
  BuiltLayer built;
  built.diff_id = layer.diff_id;
  constexpr std::int64_t limit_s = 9'000'000'000;  // what 64 bits of nanoseconds hold
  built.created = epoch_s ? std::clamp(*epoch_s, -limit_s, limit_s) * 1'000'000'000 : store::now_ns();
  ASSIGN_OR_RETURN(built.chain_id, images.add_layer(upper_, layer));
  TRY(remember(store, key, built.chain_id, text, built.created));
  return built;
}

Result<> remember(store::Store& store, const std::string& key, const std::string& chain_id, const std::string& text, WallNs created) {
  store::CacheRecord record;
  record.key = key;
  record.chain_id = chain_id;
  record.value_json = "{\"step\":" + json_text(text) + "}";
  record.created = created;
  record.used = store::now_ns();
  return store.put_cache_entry(record);
}

void push(Layers& layers, const BuiltLayer& layer) {
  layers.chain_ids.push_back(layer.chain_id);
  layers.folders.push_back(images::layer_dir(layer.chain_id));
}

Result<std::optional<std::string>> find_note(store::Store& store, const std::string& key) {
  ASSIGN_OR_RETURN(const auto record, store.cache_entry(key));
  if (!record || record->value_json.size() < 2) return std::optional<std::string>();
  return std::optional(record->value_json.substr(1, record->value_json.size() - 2));
}

Result<> put_note(store::Store& store, const std::string& key, const std::string& text) {
  store::CacheRecord record;
  record.key = key;
  record.value_json = json_text(text);  // digests only: nothing to unescape
  record.created = record.used = store::now_ns();
  return store.put_cache_entry(record);
}

}  // namespace engine::build
