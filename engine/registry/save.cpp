#include <sys/stat.h>

#include <nlohmann/json.hpp>
#include <set>

#include "base/sys.h"
#include "engine/images/image_store.h"
#include "engine/registry/archive.h"
#include "engine/registry/blobs.h"
#include "engine/registry/image_index.h"
#include "engine/registry/tar_writer.h"

namespace engine::registry {

using ordered = nlohmann::ordered_json;

namespace {

std::string path_of(const std::string& digest) { return "blobs/" + digest.substr(0, digest.find(':')) + "/" + std::string(images::digest_hex(digest)); }

class Archive {
 public:
  explicit Archive(base::Fd output)
      : writer_([output](std::span<const char> bytes) { return base::sys::write_all(output, {bytes.data(), bytes.size()}); }) {}

  Result<> text(const std::string& name, const std::string& bytes) {
    if (!written_.insert(name).second) return {};
    TRY(writer_.header({.name = name, .mode = 0644, .size = static_cast<std::int64_t>(bytes.size())}));
    TRY(writer_.data(bytes));
    return writer_.end_data(static_cast<std::int64_t>(bytes.size()));
  }

  Result<> blob(const Descriptor& one) {
    if (!written_.insert(path_of(one.digest)).second) return {};
    ASSIGN_OR_RETURN(const auto file, base::sys::open(images::blob_path(one.digest), O_RDONLY));
    TRY(writer_.header({.name = path_of(one.digest), .mode = 0644, .size = one.size}));
    std::vector<char> buffer(256 * 1024);
    for (std::int64_t left = one.size; left > 0;) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(file.borrow(), std::span(buffer).first(std::min<std::size_t>(buffer.size(), static_cast<std::size_t>(left)))));
      if (count == 0) return base::make_error(base::ErrorKind::io, "blob " + one.digest + " is shorter than it should be");
      TRY(writer_.data(std::span(buffer).first(count)));
      left -= static_cast<std::int64_t>(count);
    }
    return writer_.end_data(one.size);
  }

  Result<> image(const Outgoing& parts) {
    for (const auto& layer : parts.layers) TRY(blob(layer));
    TRY(text(path_of(parts.config_blob.digest), parts.config));
    return text(path_of(parts.digest), parts.manifest);
  }

  Result<> finish() { return writer_.finish(); }

 private:
  TarWriter writer_;
  std::set<std::string> written_;
};

}  // namespace

Result<> save(store::Store& store, const std::vector<std::string>& names, base::Fd output) {
  images::ImageStore images(store);
  ASSIGN_OR_RETURN(const auto lease, images::ImageStore::lease());
  struct Chosen {
    images::Image image;
    Outgoing parts;
    std::vector<std::string> tags;
  };
  std::vector<Chosen> all;
  for (const auto& name : names) {
    ASSIGN_OR_RETURN(auto image, images.resolve(name));
    const auto parsed = images::parse_reference(name);
    const bool named = parsed && parsed->digest.empty() && std::find(image.tags.begin(), image.tags.end(), parsed->full()) != image.tags.end();
    auto known = std::find_if(all.begin(), all.end(), [&](const Chosen& one) { return one.image.id == image.id; });
    if (known == all.end()) {
      ASSIGN_OR_RETURN(auto parts, outgoing(store, image));
      all.push_back({std::move(image), std::move(parts), {}});
      known = all.end() - 1;
    }
    if (named && std::find(known->tags.begin(), known->tags.end(), parsed->full()) == known->tags.end()) known->tags.push_back(parsed->full());
  }
  Archive archive(output);
  ordered index{{"schemaVersion", 2}, {"mediaType", media::oci_index}, {"manifests", ordered::array()}}, legacy = ordered::array();
  for (const auto& [image, parts, tags] : all) {
    TRY(archive.image(parts));
    const ordered descriptor{{"mediaType", parts.media_type}, {"digest", parts.digest}, {"size", parts.manifest.size()}};
    auto familiar = ordered::array();
    for (const auto& tag : tags) {
      const auto reference = images::parse_reference(tag);
      ASSIGN_OR_RETURN(const auto platforms, reference ? stored_index(store, *reference) : Result<std::optional<StoredIndex>>(std::nullopt));
      auto named = descriptor;
      if (platforms) {
        for (const auto& one : platforms->images) {
          ASSIGN_OR_RETURN(const auto other, outgoing(store, one));
          TRY(archive.image(other));
        }
        TRY(archive.text(path_of(platforms->digest), platforms->bytes));
        named = {{"mediaType", media::oci_index}, {"digest", platforms->digest}, {"size", platforms->bytes.size()}};
      }
      named["annotations"] = {{"io.containerd.image.name", tag}, {"org.opencontainers.image.ref.name", reference ? reference->tag : ""}};
      index["manifests"].push_back(std::move(named));
      familiar.push_back(reference ? reference->familiar() : tag);
    }
    if (tags.empty()) index["manifests"].push_back(descriptor);
    ordered entry{{"Config", path_of(parts.config_blob.digest)}, {"RepoTags", familiar}, {"Layers", ordered::array()}};
    for (const auto& layer : parts.layers) entry["Layers"].push_back(path_of(layer.digest));
    legacy.push_back(std::move(entry));
  }
  TRY(archive.text("index.json", index.dump()));
  TRY(archive.text("manifest.json", legacy.dump()));
  TRY(archive.text("oci-layout", R"({"imageLayoutVersion":"1.0.0"})"));
  return archive.finish();
}

}  // namespace engine::registry
