// docker-archive and OCI layouts into the store. Sources: image-spec image-layout.md; moby image/tarexport.
#include <linux/openat2.h>
#include <sys/stat.h>

#include <map>
#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/images/image_store.h"
#include "engine/registry/archive.h"
#include "engine/registry/blobs.h"
#include "engine/registry/image_index.h"
#include "engine/registry/layer_fetch.h"
#include "engine/registry/layout.h"
#include "engine/registry/manifest.h"
#include "engine/registry/unpack.h"

namespace engine::registry {

using base::ErrorKind;
using base::Fd;
using base::UniqueFd;
using images::ImageStore;
using nlohmann::json;

namespace {

struct Source {
  std::string file;        ///< name in the archive
  std::string digest;      ///< of the file; "" = not stated
};

struct Candidate {
  std::string config;
  std::vector<Source> layers;
  std::vector<std::string> references;
  std::string manifest, manifest_digest;
};

constexpr std::size_t platforms_max = 64;
constexpr std::size_t texts_bytes_max = std::size_t{64} << 20;  ///< of all manifests and configs that wait to be loaded

/// An index whose images are all in the archive.
struct Platforms {
  std::string bytes, main;             ///< `main`: the manifest its names mean on this machine
  std::vector<std::string> manifests;
};

/// Names of archives are untrusted: what is none is passed over.
void add_name(Candidate& candidate, const std::string& name) {
  const auto parsed = images::parse_reference(name);
  if (!parsed || !parsed->digest.empty()) return;
  auto& all = candidate.references;
  if (std::find(all.begin(), all.end(), parsed->full()) == all.end()) all.push_back(parsed->full());
}

class Loader {
 public:
  Loader(store::Store& store, const Layout& layout, const LayoutOptions& options)
      : store_(store), images_(store), layout_(layout), options_(options), progress_(options.progress) {}

  Result<std::vector<Loaded>> run() {
    std::vector<Candidate> candidates;
    if (auto index = layout_.text("index.json"); index) {
      TRY(read_index(*index, candidates));
      add_docker_names(candidates);
    } else {
      auto manifest = layout_.text("manifest.json");
      if (!manifest) return base::make_error(ErrorKind::invalid, "neither a docker-archive nor an OCI layout: it holds no manifest.json and no index.json");
      TRY(read_docker(*manifest, candidates));
    }
    std::vector<Loaded> all;
    for (auto& candidate : candidates) {
      if (!options_.keep_names) candidate.references.clear();
      ASSIGN_OR_RETURN(auto loaded, load_one(candidate));
      all.push_back(std::move(loaded));
    }
    for (const auto& index : indexes_) TRY(keep(index, candidates, all));
    if (!all.empty()) images::settle_in_background();
    return all;
  }

 private:
  Result<> read_index(const std::string& bytes, std::vector<Candidate>& candidates) {
    ASSIGN_OR_RETURN(const auto index, parse_manifest(bytes, ""));
    if (!index.is_index) return base::make_error(ErrorKind::invalid, "index.json is not an index");
    for (const auto& child : index.children) {
      if (child.os == "unknown") continue;
      const std::string& called = child.reference_name;
      if (!options_.tag.empty() && called != options_.tag && !called.ends_with(":" + options_.tag)) continue;
      if (!options_.digest.empty() && child.digest != options_.digest) continue;
      ASSIGN_OR_RETURN(const auto main, read_manifest(child, 0, candidates));
      // ref.name may be a tag alone, which names nothing.
      const auto named = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& one) { return one.manifest_digest == main; });
      if (child.reference_name.find_first_of("/:") != std::string::npos) add_name(*named, child.reference_name);
    }
    return {};
  }

  /// What a descriptor leads to, as candidates. Returns the digest of the manifest that stands for it on this machine.
  Result<std::string> read_manifest(const Descriptor& child, int depth, std::vector<Candidate>& candidates) {
    if (const auto known = read_.find(child.digest); known != read_.end()) return known->second;
    ASSIGN_OR_RETURN(const auto main, read_new(child, depth, candidates));
    read_.emplace(child.digest, main);
    return main;
  }

  Result<std::string> read_new(const Descriptor& child, int depth, std::vector<Candidate>& candidates) {
    Candidate candidate;
    candidate.manifest_digest = child.digest;
    ASSIGN_OR_RETURN(candidate.manifest, layout_.blob_text(child.digest));
    ASSIGN_OR_RETURN(auto manifest, parse_manifest(candidate.manifest, child.media_type));
    if (manifest.is_index) {
      if (depth == 4) return base::make_error(ErrorKind::invalid, "indexes nested too deep");
      return read_platforms(child, candidate.manifest, std::move(manifest), depth, candidates);
    }
    ASSIGN_OR_RETURN(candidate.config, layout_.blob_text(manifest.config.digest));
    for (const auto& layer : manifest.layers) candidate.layers.push_back({.file = blob_name(layer.digest), .digest = layer.digest});
    const auto same = std::find_if(candidates.begin(), candidates.end(), [&](const Candidate& one) { return one.config == candidate.config; });
    if (same != candidates.end()) return same->manifest_digest;
    TRY(add(candidates, std::move(candidate)));
    return child.digest;
  }

  Result<> add(std::vector<Candidate>& candidates, Candidate candidate) {
    texts_bytes_ += candidate.config.size() + candidate.manifest.size();
    if (texts_bytes_ > texts_bytes_max) return base::make_error(ErrorKind::invalid, "the archive names images of more than 64 MiB of manifests and configs");
    candidates.push_back(std::move(candidate));
    return {};
  }

  /// An archive may hold some of an index's images only, as `docker save --platform` writes it. All of them are taken when all are there;
  /// not of an index in an index, nor of more platforms than there are, since a hostile archive's few blobs could so name millions of images.
  Result<std::string> read_platforms(const Descriptor& child, const std::string& bytes, Manifest index, int depth, std::vector<Candidate>& candidates) {
    const auto all = index.children.size();
    std::erase_if(index.children, [&](const Descriptor& one) {
      const auto there = layout_.open(blob_name(one.digest));
      return !there && there.error().kind == ErrorKind::not_found;
    });
    const auto chosen = choose_platform(index, "", child.reference_name.empty() ? child.digest : child.reference_name);
    const bool whole = depth == 0 && index.children.size() == all && all > 1 && all <= platforms_max &&
                       std::none_of(index.children.begin(), index.children.end(), [](const Descriptor& one) { return one.os == "unknown"; });
    if (!whole) {
      if (!chosen) return chosen.error();
      return read_manifest(*chosen, depth + 1, candidates);
    }
    Platforms platforms{.bytes = bytes, .main = "", .manifests = {}};
    bool plain = true;  // one manifest an image
    for (const auto& one : index.children) {
      ASSIGN_OR_RETURN(const auto manifest, read_manifest(one, depth + 1, candidates));
      platforms.manifests.push_back(one.digest);
      plain = plain && manifest == one.digest;
      if (platforms.main.empty() || (chosen && chosen->digest == one.digest)) platforms.main = manifest;
    }
    if (plain && options_.keep_names) indexes_.push_back(platforms);
    return platforms.main;
  }

  /// The names of an index are the index's, not only its main image's.
  Result<> keep(const Platforms& index, const std::vector<Candidate>& candidates, const std::vector<Loaded>& loaded) {
    std::vector<std::pair<std::string, std::string>> manifests;
    const Loaded* main = nullptr;
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      const auto& digest = candidates[i].manifest_digest;
      if (std::find(index.manifests.begin(), index.manifests.end(), digest) == index.manifests.end()) continue;
      manifests.emplace_back(digest, loaded[i].id);
      if (digest == index.main) main = &loaded[i];
    }
    return keep_index(store_, index.bytes, manifests, main->id, main->references);
  }

  /// An archive that is both: manifest.json knows the names too.
  void add_docker_names(std::vector<Candidate>& candidates) {
    const auto text = layout_.text("manifest.json");
    if (!text) return;
    std::vector<Candidate> named;
    if (!read_docker(*text, named)) return;
    for (auto& candidate : candidates)
      for (const auto& one : named)
        if (one.config == candidate.config)
          for (const auto& name : one.references) add_name(candidate, name);
  }

  Result<> read_docker(const std::string& bytes, std::vector<Candidate>& candidates) {
    const auto root = json::parse(bytes, nullptr, false);
    if (!root.is_array()) return base::make_error(ErrorKind::invalid, "manifest.json is not a list");
    try {
      for (const auto& entry : root) {
        Candidate candidate;
        ASSIGN_OR_RETURN(candidate.config, layout_.text(entry.at("Config").get<std::string>()));
        for (const auto& layer : entry.at("Layers")) candidate.layers.push_back({.file = layer.get<std::string>(), .digest = ""});
        if (const auto tags = entry.find("RepoTags"); tags != entry.end() && tags->is_array())
          for (const auto& tag : *tags)
            if (tag.is_string()) add_name(candidate, tag.get<std::string>());
        TRY(add(candidates, std::move(candidate)));
      }
    } catch (const json::exception& error) {
      return base::make_error(ErrorKind::invalid, std::string("manifest.json: ") + error.what());
    }
    return {};
  }

  Result<Loaded> load_one(const Candidate& candidate) {
    ASSIGN_OR_RETURN(const auto config, images::parse_config(candidate.config));
    if (config.diff_ids.size() != candidate.layers.size())
      return base::make_error(ErrorKind::invalid, "the image has " + std::to_string(candidate.layers.size()) + " layers, its config " + std::to_string(config.diff_ids.size()));
    std::string parent;
    images::NewImage image{.config_json = candidate.config, .chain_ids = {}, .references = candidate.references, .manifest_digest = candidate.manifest_digest};
    for (std::size_t i = 0; i < candidate.layers.size(); ++i) {
      ASSIGN_OR_RETURN(parent, load_layer(candidate.layers[i], config.diff_ids[i], parent, image.chain_ids));
      image.chain_ids.push_back(parent);
    }
    if (!candidate.manifest_digest.empty()) TRY(base::sys::replace_file(images::blob_path(candidate.manifest_digest), candidate.manifest, 0600));
    ASSIGN_OR_RETURN(const auto id, images_.add(image));
    return Loaded{.id = id, .references = candidate.references};
  }

  Result<std::string> load_layer(const Source& source, const std::string& diff_id, const std::string& parent, const std::vector<std::string>& below) {
    const auto chain = images::chain_id(parent, diff_id);
    report(diff_id, "Loading layer");
    ASSIGN_OR_RETURN(const bool there, images_.has_layer(chain));
    if (there) {
      report(diff_id, "Already exists");
      return chain;
    }
    ASSIGN_OR_RETURN(auto file, layout_.open(source.file));
    ASSIGN_OR_RETURN(auto partial, PartialFile::create());
    ASSIGN_OR_RETURN(const auto folder, ImageStore::new_layer_dir());
    BlobKeeper keeper(std::move(partial));
    const ByteSource raw = [&](std::span<char> into) { return file.read(into); };
    auto added = [&]() -> Result<std::string> {
      ASSIGN_OR_RETURN(const auto root, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
      UnpackOptions options;
      options.open_below = [&](const std::string& path) { return find_below(below, path); };
      if (!source.digest.empty()) options.input_algorithm = source.digest.substr(0, source.digest.find(':'));
      ASSIGN_OR_RETURN(const auto done, unpack([&](std::span<char> into) { return keeper.read(raw, into); }, root.borrow(), options));
      if (done.diff_id != diff_id) return base::make_error(ErrorKind::invalid, "layer " + source.file + " has digest " + done.diff_id + ", the image config says " + diff_id);
      if (!source.digest.empty() && done.input_digest != source.digest) return base::make_error(ErrorKind::invalid, "blob " + source.digest + " has another digest");
      ASSIGN_OR_RETURN(const auto kept, keeper.finish());
      return images_.add_layer(folder, {.parent_chain_id = parent, .diff_id = diff_id, .blob_digest = kept.digest, .blob_media_type = kept.media_type,
                                        .blob_bytes = kept.bytes, .size_bytes = done.content_bytes});
    }();
    if (!added) (void)base::sys::remove_tree(folder);
    if (added) report(diff_id, "Load complete");
    return added;
  }

  static Result<UniqueFd> find_below(const std::vector<std::string>& chains, const std::string& path) {
    for (auto chain = chains.rbegin(); chain != chains.rend(); ++chain) {
      ASSIGN_OR_RETURN(const auto root, base::sys::open(images::layer_dir(*chain), O_RDONLY | O_DIRECTORY));
      auto found = base::sys::openat2(root.borrow(), path, O_PATH | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
      if (!found && found.error().number == ENOENT) continue;
      if (!found) break;
      struct stat info {};
      if (fstat(found->number(), &info) != 0 || !S_ISREG(info.st_mode)) break;
      return base::sys::openat2(root.borrow(), path, O_RDONLY | O_NOFOLLOW, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
    }
    return base::make_error(ErrorKind::invalid, "a hard link to '" + path + "', which does not exist");
  }

  void report(const std::string& diff_id, const char* status) {
    if (progress_) progress_({.id = short_digest(diff_id), .status = status});
  }

  store::Store& store_;
  ImageStore images_;
  const Layout& layout_;
  const LayoutOptions& options_;
  const ProgressSink& progress_;
  std::vector<Platforms> indexes_;
  std::map<std::string, std::string> read_;  ///< what each descriptor met so far led to
  std::size_t texts_bytes_ = 0;
};

}  // namespace

Result<std::vector<Loaded>> load_layout(store::Store& store, const std::filesystem::path& folder, const LayoutOptions& options) {
  ASSIGN_OR_RETURN(const auto lease, ImageStore::lease());
  ASSIGN_OR_RETURN(const auto layout, folder_layout(folder));
  return Loader(store, *layout, options).run();
}

Result<std::vector<Loaded>> load(store::Store& store, Fd input, const ProgressSink& progress) {
  ASSIGN_OR_RETURN(const auto lease, ImageStore::lease());
  ASSIGN_OR_RETURN(const auto layout, archive_layout(input).with("reading the archive"));
  const LayoutOptions all{.progress = progress, .tag = "", .digest = ""};
  return Loader(store, *layout, all).run();
}

}  // namespace engine::registry
