// A container as an image: `commit`. Config rules as Docker's: the container's over its image's, changes over both.
// Source: moby daemon/commit.go merge(); checked against Docker 28.5.
#include <fcntl.h>

#include <algorithm>
#include <set>

#include "base/sys.h"
#include "engine/containers/root.h"
#include "engine/files/copy.h"
#include "engine/files/view.h"
#include "engine/registry/changes.h"
#include "engine/registry/tar_pipe.h"

namespace engine::files {

using base::make_error;
using images::ImageConfig;
using images::ImageStore;

namespace {

void merge_env(const std::vector<std::string>& over, std::vector<std::string>& env) {
  for (const auto& entry : over) {
    const auto key = entry.substr(0, entry.find('='));
    const auto same = [&](const std::string& one) { return one.substr(0, one.find('=')) == key; };
    if (entry.find('=') == std::string::npos) {
      std::erase_if(env, same);
    } else if (const auto found = std::find_if(env.begin(), env.end(), same); found != env.end()) {
      *found = entry;
    } else {
      env.push_back(entry);
    }
  }
}

void add_sorted(std::vector<std::string>& list, const std::string& value) {
  const auto at = std::lower_bound(list.begin(), list.end(), value);
  if (at == list.end() || *at != value) list.insert(at, value);
}

/// What `docker inspect` would show as the container's own config.
ImageConfig container_config(const Subject& subject) {
  ImageConfig config = subject.image.config;
  const auto& spec = subject.spec;
  if (spec.entrypoint) {
    config.entrypoint = spec.entrypoint;
    config.cmd.reset();  // an entrypoint of the container's own drops the image's command
  }
  if (spec.command) config.cmd = spec.command;
  merge_env(spec.env, config.env);
  if (!spec.user.empty()) config.user = spec.user;
  if (!spec.working_dir.empty()) config.working_dir = spec.working_dir;
  if (!spec.stop_signal.empty()) config.stop_signal = spec.stop_signal;
  for (const auto& [key, value] : spec.labels) config.labels[key] = value;
  for (const auto& port : spec.expose) add_sorted(config.exposed_ports, port.find('/') == std::string::npos ? port + "/tcp" : port);
  for (const auto& port : spec.ports) add_sorted(config.exposed_ports, std::to_string(port.container_port) + "/" + port.protocol);
  for (const auto& mount : spec.mounts)
    if (mount.type == MountType::volume && mount.source.empty()) add_sorted(config.volumes, mount.target);
  if (spec.healthcheck && !spec.healthcheck->test.empty()) config.healthcheck = spec.healthcheck;
  return config;
}

/// The writable layer, copied to where layers are unpacked.
struct Layer {
  std::filesystem::path folder;
  registry::Packed packed;
};
Result<Layer> copy_changes(const Subject& subject) {
  ASSIGN_OR_RETURN(const auto upper, base::sys::open(containers::writable_layer(subject.record.id).upper, O_RDONLY | O_DIRECTORY));
  Layer layer;
  ASSIGN_OR_RETURN(layer.folder, ImageStore::new_layer_dir());
  const auto copy = [&]() -> Result<> {
    ASSIGN_OR_RETURN(const auto root, base::sys::open(layer.folder, O_RDONLY | O_DIRECTORY));
    const auto write = [&](const registry::ByteSink& sink) -> Result<> {
      ASSIGN_OR_RETURN(layer.packed, registry::pack(upper.borrow(), sink, {}));
      return {};
    };
    return registry::tar_pipe(write, [&](const registry::ByteSource& tar) -> Result<> {
      TRY(registry::unpack(tar, root.borrow(), {}));
      return {};
    });
  };
  if (auto copied = copy(); !copied) {
    (void)base::sys::remove_tree(layer.folder);
    return std::move(copied).error();
  }
  return layer;
}

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (const auto& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

Result<std::string> commit(store::Store& store, const std::string& container, const CommitOptions& options) {
  constexpr std::int64_t empty_tar_bytes = 1024;
  ASSIGN_OR_RETURN(const auto subject, find(store, container));
  if (!subject.runs()) return make_error(base::ErrorKind::unavailable, "container " + subject.record.name + " is not running");
  ImageConfig config = container_config(subject);
  const auto command = joined(config.cmd.value_or(std::vector<std::string>{}));
  TRY(registry::apply_changes(options.changes, config));
  if (!options.reference.empty()) {
    ASSIGN_OR_RETURN(const auto reference, images::parse_reference(options.reference));
    if (!reference.digest.empty()) return make_error(base::ErrorKind::invalid, "cannot commit to a digest reference");
  }
  ASSIGN_OR_RETURN(const auto lease, ImageStore::lease());
  ImageStore images(store);
  ASSIGN_OR_RETURN(const auto layer, copy_changes(subject));
  auto chain = subject.image.chain_ids;
  const bool empty = layer.packed.tar_bytes <= empty_tar_bytes;
  config.created = images::format_time(store::now_ns());
  config.author = options.author;
  config.history.push_back({.created = config.created, .created_by = command, .author = options.author, .comment = options.message,
                            .empty_layer = empty});
  if (empty) {
    TRY(base::sys::remove_tree(layer.folder));
  } else {
    config.diff_ids.push_back(layer.packed.diff_id);
    ASSIGN_OR_RETURN(const auto top, images.add_layer(layer.folder, {.parent_chain_id = chain.empty() ? "" : chain.back(),
                                                                     .diff_id = layer.packed.diff_id, .blob_digest = {},
                                                                     .blob_media_type = {}, .size_bytes = layer.packed.content_bytes}));
    chain.push_back(top);
  }
  images::NewImage image{.config_json = images::to_json(config), .chain_ids = chain};
  if (!options.reference.empty()) image.references = {options.reference};
  ASSIGN_OR_RETURN(auto id, images.add(image));
  images::settle_in_background();
  return id;
}

}  // namespace engine::files
