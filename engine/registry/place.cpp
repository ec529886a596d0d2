#include "engine/registry/place.h"

#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/sys.h"
#include "engine/registry/hash.h"
#include "engine/registry/settings.h"

namespace engine::registry {

using base::ErrorKind;
using ordered = nlohmann::ordered_json;

namespace {

constexpr std::size_t manifest_max = 4u << 20;

class RegistryPlace final : public Place {
 public:
  RegistryPlace(images::Reference reference, std::unique_ptr<Client> client) : reference_(std::move(reference)), client_(std::move(client)) {}
  Result<Fetched> manifest(const std::string& name) override { return client_->manifest(name.empty() ? wanted(reference_) : name); }
  Result<> read_blob(const Descriptor& blob, base::Fd into) override {
    Hasher hasher(std::string_view(blob.digest).substr(0, blob.digest.find(':')));
    TRY(client_->blob_stream(blob.digest, 0, blob.size, [&](std::span<const char> bytes) {
      hasher.update({bytes.data(), bytes.size()});
      return base::sys::write_all(into, {bytes.data(), bytes.size()});
    }));
    if (hasher.finish() != blob.digest) return base::make_error(ErrorKind::invalid, "blob " + blob.digest + " has another digest");
    return {};
  }
  Result<bool> has_blob(const std::string& digest) override { return client_->has_blob(digest); }
  Result<> write_blob(const Descriptor& blob, base::Fd content) override { return client_->upload_blob(blob.digest, content, blob.size, {}); }
  Client* client() override { return client_.get(); }
  Result<> write_manifest(const Fetched& one, bool top) override {
    return client_->put_manifest(top ? wanted(reference_) : one.digest, one.bytes, one.media_type);
  }

 private:
  images::Reference reference_;
  std::unique_ptr<Client> client_;
};

/// An OCI image layout on the disk (image-spec image-layout.md).
class FolderPlace final : public Place {
 public:
  FolderPlace(std::filesystem::path folder, std::string tag) : folder_(std::move(folder)), tag_(std::move(tag)) {}

  Result<Fetched> manifest(const std::string& name) override {
    if (!name.empty()) return read(name, "");
    ASSIGN_OR_RETURN(const auto index, read_index());
    std::vector<ordered> found;
    for (const auto& one : index.value("manifests", ordered::array())) {
      const auto annotations = one.value("annotations", ordered::object());
      if (tag_.empty() || annotations.value("org.opencontainers.image.ref.name", "") == tag_) found.push_back(one);
    }
    if (found.size() != 1)
      return base::make_error(found.empty() ? ErrorKind::not_found : ErrorKind::invalid,
                              folder_.string() + (found.empty() ? ": no image is called '" + tag_ + "'" : ": holds several images; name one as FOLDER:TAG"));
    return read(found.front().value("digest", ""), found.front().value("mediaType", ""));
  }

  Result<> read_blob(const Descriptor& blob, base::Fd into) override {
    if (!images::is_digest(blob.digest)) return base::make_error(ErrorKind::invalid, "'" + blob.digest + "' is not a digest");
    ASSIGN_OR_RETURN(const auto file, base::sys::open(path_of(blob.digest), O_RDONLY));
    Hasher hasher(std::string_view(blob.digest).substr(0, blob.digest.find(':')));
    std::vector<char> buffer(256 * 1024);
    for (std::int64_t done = 0;;) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(file.borrow(), buffer));
      if (count == 0) break;
      if ((done += static_cast<std::int64_t>(count)) > blob.size) return base::make_error(ErrorKind::invalid, "blob " + blob.digest + " is larger than its manifest says");
      hasher.update({buffer.data(), count});
      TRY(base::sys::write_all(into, {buffer.data(), count}));
    }
    if (hasher.finish() != blob.digest) return base::make_error(ErrorKind::invalid, "blob " + blob.digest + " has another digest");
    return {};
  }

  Result<bool> has_blob(const std::string& digest) override { return ::access(path_of(digest).c_str(), F_OK) == 0; }

  Result<> write_blob(const Descriptor& blob, base::Fd content) override {
    const auto path = path_of(blob.digest);
    TRY(base::sys::make_directories(path.parent_path(), 0755));
    const auto partial = path.string() + ".partial";
    ASSIGN_OR_RETURN(const auto file, base::sys::open(partial, O_WRONLY | O_CREAT | O_TRUNC, 0644));
    (void)::lseek(content.number(), 0, SEEK_SET);
    std::vector<char> buffer(256 * 1024);
    while (true) {
      ASSIGN_OR_RETURN(const auto count, base::sys::read(content, buffer));
      if (count == 0) break;
      TRY(base::sys::write_all(file.borrow(), {buffer.data(), count}));
    }
    return base::sys::rename(partial, path);
  }

  Result<> write_manifest(const Fetched& one, bool top) override {
    TRY(base::sys::make_directories(path_of(one.digest).parent_path(), 0755));
    TRY(base::sys::replace_file(path_of(one.digest), one.bytes, 0644));
    if (!top) return {};
    ordered index{{"schemaVersion", 2}, {"mediaType", media::oci_index}, {"manifests", ordered::array()}};
    if (::access((folder_ / "index.json").c_str(), F_OK) == 0) {
      ASSIGN_OR_RETURN(index, read_index());
    }
    ordered entry{{"mediaType", one.media_type}, {"digest", one.digest}, {"size", one.bytes.size()}};
    if (!tag_.empty()) entry["annotations"] = {{"org.opencontainers.image.ref.name", tag_}};
    auto kept = ordered::array();
    for (const auto& old : index.value("manifests", ordered::array())) {
      const auto annotations = old.value("annotations", ordered::object());
      if (annotations.value("org.opencontainers.image.ref.name", "") != tag_) kept.push_back(old);
    }
    kept.push_back(std::move(entry));
    index["manifests"] = std::move(kept);
    TRY(base::sys::replace_file(folder_ / "oci-layout", R"({"imageLayoutVersion":"1.0.0"})", 0644));
    return base::sys::replace_file(folder_ / "index.json", index.dump(), 0644);
  }

 private:
  [[nodiscard]] std::filesystem::path path_of(const std::string& digest) const {
    return folder_ / "blobs" / digest.substr(0, digest.find(':')) / std::string(images::digest_hex(digest));
  }
  Result<ordered> read_index() const {
    ASSIGN_OR_RETURN(const auto bytes, base::sys::read_file(folder_ / "index.json", manifest_max));
    auto index = ordered::parse(bytes, nullptr, false);
    if (!index.is_object()) return base::make_error(ErrorKind::invalid, (folder_ / "index.json").string() + ": not a JSON object");
    return index;
  }
  Result<Fetched> read(const std::string& digest, const std::string& media_type) const {
    if (!images::is_digest(digest)) return base::make_error(ErrorKind::invalid, "'" + digest + "' is not a digest");
    ASSIGN_OR_RETURN(auto bytes, base::sys::read_file(path_of(digest), manifest_max));
    Hasher hasher(std::string_view(digest).substr(0, digest.find(':')));
    hasher.update(bytes);
    if (hasher.finish() != digest) return base::make_error(ErrorKind::invalid, "manifest " + digest + " has another digest");
    return Fetched{.bytes = std::move(bytes), .media_type = media_type, .digest = digest};
  }

  std::filesystem::path folder_;
  std::string tag_;
};

}  // namespace

Result<std::unique_ptr<Client>> open_origin(const images::Reference& reference, const std::string& actions) {
  ASSIGN_OR_RETURN(const auto settings, Settings::load());
  ASSIGN_OR_RETURN(const auto endpoints, settings.endpoints(reference));
  return std::make_unique<Client>(endpoints.back(), settings.tls(endpoints.back()), actions);
}

std::string wanted(const images::Reference& reference) { return reference.digest.empty() ? reference.tag : reference.digest; }

Result<std::unique_ptr<Place>> open_place(const std::string& text, const std::string& actions) {
  if (text.starts_with("oci:")) {
    const auto rest = text.substr(4);
    const auto colon = rest.rfind(':');
    const bool tagged = colon != std::string::npos && rest.find('/', colon) == std::string::npos;
    const auto folder = tagged ? rest.substr(0, colon) : rest;
    if (folder.empty()) return base::make_error(ErrorKind::invalid, "'" + text + "' names no folder");
    return std::unique_ptr<Place>(std::make_unique<FolderPlace>(folder, tagged ? rest.substr(colon + 1) : ""));
  }
  if (!text.starts_with("docker://")) return base::make_error(ErrorKind::invalid, "'" + text + "' is neither docker://NAME nor oci:FOLDER[:TAG]");
  ASSIGN_OR_RETURN(auto reference, images::parse_reference(text.substr(9)));
  ASSIGN_OR_RETURN(auto client, open_origin(reference, actions));
  return std::unique_ptr<Place>(std::make_unique<RegistryPlace>(std::move(reference), std::move(client)));
}

}  // namespace engine::registry
