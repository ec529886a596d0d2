// COPY and ADD.
#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/build/copy.h"
#include "engine/build/run_mounts.h"
#include "engine/build/solver.h"
#include "engine/build/words.h"
#include "engine/containers/root.h"
#include "engine/registry/fetch.h"
#include "engine/registry/unpack.h"

namespace engine::build {
namespace {

/// As Docker unpacks for ADD: names are names, and what an archive says of its own top does not reach the destination.
registry::UnpackOptions unpack_options(bool keep_owner, const Owner& owner) {
  registry::UnpackOptions options;
  options.whiteouts = registry::Whiteouts::literal;
  options.keep_top = false;
  options.keep_owner = keep_owner;
  options.uid = owner.uid;
  options.gid = owner.gid;
  return options;
}

constexpr std::int64_t download_bytes_max = std::int64_t{16} << 30;

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// What a URL may not hold as it is, a blank above all, in its escaped form.
std::string url_escaped(const std::string& url) {
  std::string out;
  for (const unsigned char c : url) {
    if (c > ' ' && c < 0x7f && std::strchr("\"<>\\^`{|}", c) == nullptr) out += static_cast<char>(c);
    else for (const char digit : {'%', "0123456789ABCDEF"[c >> 4], "0123456789ABCDEF"[c & 15]}) out += digit;
  }
  return out;
}

/// Like BuildKit, which makes no layer of its own when modes are to be changed.
bool is_link(const instr::Copy& copy) { return copy.link && copy.chmod.empty(); }

Result<> check_sources(const instr::Copy& copy, const std::vector<std::string>& sources) {
  const auto remote = [](const std::string& source) { return is_git(source) || is_url(source); };
  for (const auto& source : sources)
    if (!copy.add && remote(source)) return invalid(is_git(source) ? "source can't be a git ref for COPY" : "source can't be a URL for COPY");
  if (copy.checksum.empty()) return {};
  if (sources.size() != 1) return invalid("checksum can't be specified for multiple sources");
  if (!remote(sources.front())) return invalid("checksum requires HTTP(S) or Git sources");
  return {};
}

/// Before anything is fetched. Source: opencontainers/go-digest's words.
Result<> check_digest(const std::string& text) {
  const auto colon = text.find(':');
  const std::string hex = colon == std::string::npos ? "" : text.substr(colon + 1), algorithm = text.substr(0, colon);
  const bool plain = algorithm.find_first_not_of("0123456789abcdefghijklmnopqrstuvwxyz+._-") == std::string::npos;
  if (hex.empty() || algorithm.empty() || !plain) return invalid("invalid checksum digest format");
  const std::size_t length = algorithm == "sha256" ? 64 : algorithm == "sha384" ? 96 : algorithm == "sha512" ? 128 : 0;
  if (length == 0) return invalid("unsupported digest algorithm");
  if (hex.size() != length) return invalid("invalid checksum digest length");
  if (hex.find_first_not_of("0123456789abcdef") != std::string::npos) return invalid("invalid checksum digest format");
  return {};
}

Result<bool> looks_like_archive(Fd source) {
  ASSIGN_OR_RETURN(const UniqueFd file, base::sys::open("/proc/self/fd/" + std::to_string(source.number()), O_RDONLY | O_NONBLOCK));
  std::array<char, 1024> head{};
  ASSIGN_OR_RETURN(const std::size_t got, base::sys::read(file.borrow(), head));
  return registry::is_archive(std::string_view(head.data(), got));
}

}  // namespace

struct StageBuilder::TreeSource {
  Tree tree;
  Context* context = nullptr;
  Layers layers;       ///< of a stage or image
  UniqueFd mounted;    ///< their merged root, when it was needed
};

struct StageBuilder::Gathered {
  struct Download {
    UniqueFd file;
    std::string name;
    std::int64_t modified_s = 0;
  };
  TreeSource source;
  std::vector<std::string> sources;          ///< expanded
  std::string destination;                   ///< expanded, as written
  std::string chown, chmod, checksum;
  IgnoreRules exclude;
  std::vector<std::pair<std::string, Item>> items;  ///< pattern → item; filled when they must be read
  std::vector<Download> downloads;
  std::vector<Item> checkouts;
  std::vector<std::pair<std::string, std::string>> heredocs;  ///< name, text
  Hasher key;
};

Result<StageBuilder::TreeSource> StageBuilder::tree_source(const std::string& from, bool numbers) {
  TreeSource source;
  if (from.empty()) {
    source.context = bench_.context;
    if (source.context == nullptr) return base::make_error(base::ErrorKind::not_found, "there is no build context to copy from");
  } else if (const auto context = bench_.contexts.find(context_name(from)); context != bench_.contexts.end()) {
    source.context = context->second;
  } else if (const auto image = bench_.context_images.find(context_name(from)); image != bench_.context_images.end()) {
    ASSIGN_OR_RETURN(const auto found, solver_.base_image(store_, image->second, bench_.platform));
    source.layers = {found.chain_ids, found.layer_dirs, {}};
  } else if (const auto index = find_stage(bench_.plan, from); index && (numbers || bench_.plan.stages[*index].name == lower(from))) {
    if (std::find(stage_.needs.begin(), stage_.needs.end(), *index) == stage_.needs.end()) {  // a trigger of the base image speaks of it
      if (*index >= stage_.index)
        return base::make_error(base::ErrorKind::invalid, "cannot copy from stage \"" + from + "\", it needs to be defined before current stage \"" +
                                                              (stage_.name.empty() ? "stage-" + std::to_string(stage_.index) : stage_.name) + "\"");
      TRY(solver_.need(store_, *index));
    }
    source.layers = solver_.stage(*index).layers;
  } else if (from != "scratch") {  // which is empty, here as well
    ASSIGN_OR_RETURN(const auto found, solver_.base_image(store_, from, bench_.platform));
    source.layers = {found.chain_ids, found.layer_dirs, {}};
  }
  if (source.context != nullptr) source.tree = source.context->tree();
  return source;
}

/// Makes the tree of a stage or image readable.
Result<> StageBuilder::open_tree(TreeSource& source) {
  if (source.context != nullptr || source.mounted.valid()) return {};
  if (source.layers.folders.empty()) {  // FROM scratch: nothing in it
    ASSIGN_OR_RETURN(const auto folder, bench_.session.new_folder());
    ASSIGN_OR_RETURN(source.mounted, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
  } else {
    ASSIGN_OR_RETURN(source.mounted, containers::mount_root(source.layers.folders, {}));
  }
  source.tree = {.root = source.mounted.borrow(), .ignore = nullptr, .xattrs = true, .owners = true};
  return {};
}

/// Lists the sources below the tree and adds their content to the key.
Result<> StageBuilder::gather_tree(const instr::Copy& copy, Gathered& gathered, bool numbers) {
  std::vector<std::string> patterns;
  for (const auto& source : gathered.sources)
    if (!(copy.add && (is_url(source) || is_git(source)))) patterns.push_back(source);
  TRY(check_sources(copy, gathered.sources));
  if (patterns.empty()) return {};
  ASSIGN_OR_RETURN(gathered.source, tree_source(copy.from, numbers));
  TreeSource& source = gathered.source;
  std::string note_key;
  if (source.context == nullptr) {
    // Layers never change: what was digested once needs no mount again.
    Hasher note;
    note.field("tree-2").number(gathered.chown.empty()).field(source.layers.top()).field(gathered.exclude.text()).number(copy.parents);
    for (const auto& pattern : patterns) note.field(pattern);
    note_key = note.hex();
    ASSIGN_OR_RETURN(const auto known, find_note(store_, note_key));
    if (known) {
      gathered.key.field(*known);
      return {};
    }
  }
  TRY(open_tree(source));
  Hasher all;
  for (const auto& pattern : patterns) {
    auto found = find_sources(source.tree, pattern, copy.parents);
    if (!found) return std::move(found).error();
    for (const auto& path : *found) {
      auto item = list_item(source.tree, path, gathered.exclude);
      if (!item) {
        auto error = std::move(item).error();
        if (error.kind == base::ErrorKind::not_found) error.context.push_back("failed to compute cache key: failed to calculate checksum");
        return error;
      }
      ASSIGN_OR_RETURN(const std::string digest, digest_item(*item, source.context != nullptr ? &source.context->digests() : nullptr, source.tree.owners && gathered.chown.empty()));
      const std::size_t slash = path.rfind('/');
      // The name counts where it ends up in the image; a directory's contents lose it.
      all.field(copy.parents ? path : item->is_directory() ? "" : path.substr(slash == std::string::npos ? 0 : slash + 1)).field(digest);
      gathered.items.emplace_back(pattern, std::move(*item));
    }
  }
  const std::string digest = all.hex();
  gathered.key.field(digest);
  if (!note_key.empty()) TRY(put_note(store_, note_key, digest));
  return {};
}

/// A repository's files, as ADD of a folder.
Result<> StageBuilder::gather_git(const instr::Copy& copy, const std::string& url, Gathered& gathered) {
  ASSIGN_OR_RETURN(GitSource source, parse_git(url));
  TRY(expect_commit(source, gathered.checksum));
  source.keep_git_dir = copy.keep_git_dir.value_or(source.keep_git_dir);
  ASSIGN_OR_RETURN(const auto checkout, fetch_git(bench_.session, source).with("fetching " + url));
  ASSIGN_OR_RETURN(UniqueFd root, base::sys::open(checkout.folder, O_RDONLY | O_DIRECTORY));
  gathered.key.field("git").field(checkout.commit).field(source.folder).number(source.keep_git_dir).number(source.submodules);
  ASSIGN_OR_RETURN(Item item, list_item({.root = root.borrow(), .ignore = nullptr, .xattrs = false}, "", gathered.exclude));
  gathered.checkouts.push_back(std::move(item));
  return {};
}

Result<> StageBuilder::gather_url(const std::string& url, Gathered& gathered) {
  if (!gathered.checksum.empty()) TRY(check_digest(gathered.checksum));
  ASSIGN_OR_RETURN(const auto folder, bench_.session.new_folder());
  Gathered::Download download;
  ASSIGN_OR_RETURN(download.file, base::sys::open(folder / "download", O_RDWR | O_CREAT | O_EXCL, 0600));
  ASSIGN_OR_RETURN(const auto fetched, registry::fetch_url(url_escaped(url), download.file.borrow(), download_bytes_max));
  if (!gathered.checksum.empty() && gathered.checksum != fetched.digest)
    return invalid("digest mismatch " + fetched.digest + ": " + gathered.checksum);
  download.name = url_file_name(url);
  download.modified_s = fetched.last_modified_s;
  gathered.key.field("url").field(download.name).field(fetched.digest);
  gathered.downloads.push_back(std::move(download));
  return {};
}

Result<StageBuilder::Gathered> StageBuilder::gather(const instr::Copy& copy) {
  Gathered gathered;
  const ExpandOptions options{.escape = state_.meta.escape};
  const Lookup lookup = state_.meta.lookup();
  for (const auto& source : copy.sources) {
    ASSIGN_OR_RETURN(std::string word, expand_word(source, lookup, options));
    gathered.sources.push_back(std::move(word));
  }
  ASSIGN_OR_RETURN(gathered.destination, expand_word(copy.destination, lookup, options));
  ASSIGN_OR_RETURN(gathered.chown, expand_word(copy.chown, lookup, options));
  ASSIGN_OR_RETURN(gathered.chmod, expand_word(copy.chmod, lookup, options));
  ASSIGN_OR_RETURN(gathered.checksum, expand_word(copy.checksum, lookup, options));
  std::vector<std::string> exclude;
  // As BuildKit takes them: variables are not replaced, and what is absolute is nowhere below a source.
  for (const auto& pattern : copy.exclude) {
    if (!pattern.starts_with('/') && !pattern.starts_with("!/")) exclude.push_back(pattern);
  }
  ASSIGN_OR_RETURN(gathered.exclude, IgnoreRules::from_patterns(exclude));
  const std::string to = absolute_path(state_.meta, gathered.destination);
  gathered.key.field(copy.add ? "add-4" : "copy-4").field(state_.layers.key()).field(to).field(gathered.chown).field(gathered.chmod);
  gathered.key.number(is_link(copy)).number(copy.parents).number(copy.unpack ? *copy.unpack : 2).field(gathered.exclude.text());
  TRY(gather_tree(copy, gathered, true));
  for (const auto& source : gathered.sources)
    if (copy.add && is_git(source)) TRY(gather_git(copy, source, gathered));
    else if (copy.add && is_url(source)) TRY(gather_url(source, gathered));
  for (const auto& heredoc : copy.heredocs) {
    std::string text = heredoc.content;
    if (heredoc.expand) {
      ASSIGN_OR_RETURN(text, expand_word(text, lookup, {.escape = state_.meta.escape, .ignore_quotes = true}));
    }
    gathered.key.field(heredoc.name).field(text);
    gathered.heredocs.emplace_back(heredoc.name, std::move(text));
  }
  return gathered;
}

Result<> StageBuilder::place_item(const instr::Copy& copy, Gathered& gathered, std::size_t index, const CopyTarget& target) {
  const auto& [pattern, item] = gathered.items[index];
  if (copy.parents) return copy_with_parents(gathered.source.tree, item, pattern, target);
  bool unpack = false;
  if (copy.add && copy.unpack.value_or(true) && S_ISREG(item.entries.front().info.st_mode)) {
    ASSIGN_OR_RETURN(unpack, looks_like_archive(item.fd.borrow()));
  }
  if (!unpack) return copy_item(gathered.source.tree, item, target);
  ASSIGN_OR_RETURN(const UniqueFd file, base::sys::open("/proc/self/fd/" + std::to_string(item.fd.number()), O_RDONLY));
  const Owner owner = target.owner.value_or(Owner{});
  ASSIGN_OR_RETURN(const UniqueFd into, make_in_root(target.root, target.path, {.uid = owner.uid, .gid = owner.gid, .mode = 0755}));
  TRY(registry::unpack(file.borrow(), into.borrow(), unpack_options(gathered.chown.empty(), owner)).with("extracting " + item.path));
  return {};
}

/// When the target is a folder that does not exist below, everything goes into the writable layer alone: past the overlay, which
/// would double the work of every file.
Result<> StageBuilder::go_direct(const instr::Copy& copy, const Gathered& gathered, StepLayer& layer, CopyTarget& target) {
  const bool folder = target.path.ends_with('/') || std::all_of(gathered.items.begin(), gathered.items.end(),
                                                                [](const auto& one) { return one.second.is_directory(); });
  // An archive's folder is made without --chmod, which is not the archive's.
  if (copy.parents || is_link(copy) || (copy.add && target.chmod) || !folder || gathered.items.empty() || state_.layers.folders.empty()) return {};
  if (open_in_root(target.root, target.path, O_PATH)) return {};
  std::vector<std::string> made;
  TRY(make_in_root(target.root, target.path, made_rights(target), &made));
  if (made.empty()) return {};
  TRY(layer.open_writable());
  target.root = layer.root();
  target.path = "/" + made.back() + "/";
  return {};
}

Result<> StageBuilder::place(const instr::Copy& copy, Gathered& gathered, StepLayer& layer, Vertex vertex) {
  CopyTarget target{.root = layer.root(), .path = absolute_path(state_.meta, gathered.destination), .owner = {}, .chmod = {}, .mtime_s = {}, .umask_is_zero = true};
  if (!gathered.chown.empty()) {
    UniqueFd below;  // --link works without what is below; names are still looked up there
    if (is_link(copy) && !state_.layers.folders.empty()) {
      ASSIGN_OR_RETURN(below, containers::mount_root(state_.layers.folders, {}));
    }
    ASSIGN_OR_RETURN(Owner owner, parse_owner(below.valid() ? below.borrow() : layer.root(), gathered.chown));
    if (!owner.unknown.empty() && state_.layers.folders.empty()) return no_accounts(owner.unknown);
    target.owner = std::move(owner);
    if (!target.owner->unknown.empty()) bench_.progress.note(vertex, "--chown: the image has no " + target.owner->unknown + " in /etc/passwd or /etc/group: root is used");
  }
  if (!gathered.chmod.empty()) {
    ASSIGN_OR_RETURN(target.chmod, ModeChange::parse(gathered.chmod));
  }
  if (gathered.items.empty() && gathered.source.mounted.valid() == false && gathered.source.context == nullptr && !copy.from.empty()) {
    // The digest was known, the layer is gone: list the sources now.
    TRY(open_tree(gathered.source));
    for (const auto& pattern : gathered.sources) {
      ASSIGN_OR_RETURN(const auto found, find_sources(gathered.source.tree, pattern, copy.parents));
      for (const auto& path : found) {
        ASSIGN_OR_RETURN(Item item, list_item(gathered.source.tree, path, gathered.exclude));
        gathered.items.emplace_back(pattern, std::move(item));
      }
    }
  }
  TRY(go_direct(copy, gathered, layer, target));
  for (std::size_t i = 0; i < gathered.items.size(); ++i) {
    if (solver_.stopping()) return base::make_error(base::ErrorKind::cancelled, "the build was cancelled");
    TRY(place_item(copy, gathered, i, target));
  }
  for (const auto& [name, text] : gathered.heredocs) TRY(write_into(target, name, text, 0644));
  for (const auto& checkout : gathered.checkouts) TRY(copy_item({}, checkout, target));
  for (const auto& download : gathered.downloads) {
    bool unpack = copy.unpack.value_or(false);
    if (unpack) {
      ASSIGN_OR_RETURN(unpack, looks_like_archive(download.file.borrow()));
    }
    if (unpack) {
      TRY(base::sys::wrap("lseek", ::lseek(download.file.number(), 0, SEEK_SET)));
      const Owner owner = target.owner.value_or(Owner{});
      ASSIGN_OR_RETURN(const UniqueFd into, make_in_root(target.root, target.path, {.uid = owner.uid, .gid = owner.gid, .mode = 0755}));
      TRY(registry::unpack(download.file.borrow(), into.borrow(), unpack_options(gathered.chown.empty(), owner)));
      continue;
    }
    Item item;
    item.path = download.name;
    Entry entry;
    TRY(base::sys::wrap("stat", ::fstat(download.file.number(), &entry.info)));
    entry.info.st_mode = S_IFREG | 0600;
    entry.info.st_mtim = {.tv_sec = download.modified_s, .tv_nsec = 0};
    item.entries.push_back(entry);
    ASSIGN_OR_RETURN(item.fd, base::sys::dup(download.file.borrow()));
    TRY(copy_item({}, item, target, download.name));
  }
  return {};
}

Result<std::string> StageBuilder::content_key(const instr::Copy& copy) {
  Gathered gathered;
  gathered.sources = copy.sources;
  TRY(gather_tree(copy, gathered, false));
  return gathered.key.hex();
}

Result<ReadyTree> StageBuilder::ready_tree(const std::string& from) {
  ReadyTree ready;
  ASSIGN_OR_RETURN(TreeSource source, tree_source(from, false));
  TRY(open_tree(source));
  ready.ignore = source.tree.ignore;
  ready.layers = source.layers;
  ready.root = std::move(source.mounted);
  if (!ready.root.valid()) {
    // Opened in this thread: mounts can be cloned only from the mount namespace one is in.
    ASSIGN_OR_RETURN(ready.root, base::sys::open(source.context->folder(), O_RDONLY | O_DIRECTORY));
  }
  return ready;
}

Result<> StageBuilder::copy(const instr::Copy& copy, const Command& command) {
  auto gathered = gather(copy);
  if (!gathered) {
    const Vertex vertex = bench_.progress.begin(vertex_name(shown_command(command)));
    bench_.progress.error(vertex, gathered.error().text());
    return std::move(gathered).error();
  }
  std::string history = copy.add ? "ADD" : "COPY";
  if (copy.parents) history += " --parents";
  if (!gathered->chown.empty()) history += " --chown=" + gathered->chown;
  if (!gathered->chmod.empty()) history += " --chmod=" + gathered->chmod;
  for (const auto& source : gathered->sources) history += " " + source;
  for (const auto& heredoc : gathered->heredocs) history += " <<" + heredoc.first;
  history += " " + gathered->destination + " # buildkit";
  return layer_step(gathered->key.hex(), shown_command(command), history, is_link(copy),
                    [&](StepLayer& layer, Vertex vertex) { return place(copy, *gathered, layer, vertex); });
}

}  // namespace engine::build
