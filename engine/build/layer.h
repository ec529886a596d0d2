#pragma once
// One step's layer: an overlay to work in, then an immutable folder in the image store, found again by its key.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "engine/build/session.h"
#include "engine/build/tree.h"
#include "engine/images/image_store.h"

namespace engine::build {

/// Layers of a stage, bottom → top.
struct Layers {
  std::vector<std::string> chain_ids;
  std::vector<std::filesystem::path> folders;
  std::string made_by;  ///< key of the step that made the top one; "" = it came with an image
  /// What keys of the steps on top are made of: every step below counts, even one that changed no file.
  [[nodiscard]] std::string key() const { return made_by.empty() ? top() : made_by; }
  [[nodiscard]] std::string top() const { return chain_ids.empty() ? "" : chain_ids.back(); }
};

struct BuiltLayer {
  std::string chain_id, diff_id;
  WallNs created = 0;
};

/// The layer a key made earlier on top of `below`, when its files are still there.
Result<std::optional<BuiltLayer>> find_layer(store::Store& store, const std::string& key, const std::string& below);

/// Records that `key` made the layer.
Result<> remember(store::Store& store, const std::string& key, const std::string& chain_id, const std::string& text, WallNs created);

/// A step at work. Dropped without commit(), its files go with the session.
class StepLayer {
 public:
  /// The layers with an empty writable one on top; `bare`: only the writable one (COPY --link).
  static Result<StepLayer> open(Session& session, const Layers& below, bool bare = false);
  [[nodiscard]] Fd root() const { return root_.borrow(); }
  [[nodiscard]] const std::filesystem::path& upper() const { return upper_; }
  /// Unmounts, so that the writable folder may be looked at directly.
  void close() { root_.reset(); }
  /// Makes the root a mount even when nothing is below: what a container needs.
  Result<> as_mount(const Layers& below);
  /// Unmounts and makes the writable folder alone the root.
  Result<> open_writable();
  /// Packs (for the diff id), stores and records under `key`. `epoch_s`: SOURCE_DATE_EPOCH.
  Result<BuiltLayer> commit(store::Store& store, const Layers& below, const std::string& key, const std::string& text,
                            std::optional<std::int64_t> epoch_s);

 private:
  StepLayer() = default;
  std::filesystem::path upper_, work_;
  UniqueFd root_;
};

/// Adds a finished layer on top.
void push(Layers& layers, const BuiltLayer& layer);

/// A small text remembered under a key: digests of immutable trees.
Result<std::optional<std::string>> find_note(store::Store& store, const std::string& key);
Result<> put_note(store::Store& store, const std::string& key, const std::string& text);

}  // namespace engine::build
