// RUN.
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/build/copy.h"
#include "engine/build/foreign.h"
#include "engine/build/mount_points.h"
#include "engine/build/run_mounts.h"
#include "engine/build/solver.h"
#include "engine/build/step_network.h"
#include "engine/build/words.h"
#include "engine/containers/user.h"

namespace engine::build {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

std::string joined(const std::vector<std::string>& words) {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) text += (i == 0 ? "" : " ") + words[i];
  return text;
}

/// "echo a..." : the first line of a heredoc.
std::string summary(const std::string& text) {
  const std::string_view body = trim(text);
  const std::size_t end = body.find('\n');
  std::string line(body.substr(0, end));
  while (!line.empty() && line.back() == '\r') line.pop_back();
  return end == std::string_view::npos ? line : line + "...";
}

/// Who runs a step. As BuildKit: "uid:gid", where "root" is a number too, needs no accounts; anything else needs /etc/passwd.
/// Source: moby/buildkit executor/oci/user.go GetUser, ParseUIDGID.
Result<containers::Identity> identify_step(const std::string& user, const containers::Accounts& accounts) {
  const auto colon = user.find(':');
  const auto as_number = [](const std::string& text) {
    if (text == "root") return std::string("0");
    return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos ? text : std::string();
  };
  if (colon != std::string::npos) {
    const auto uid = as_number(user.substr(0, colon)), gid = as_number(user.substr(colon + 1));
    if (!uid.empty() && !gid.empty()) return containers::identify(uid + ":" + gid, {}, accounts);
  }
  if (!user.empty() && !accounts.has_passwd)
    return invalid("unable to find user " + user.substr(0, colon) + ": the stage has no /etc/passwd; use UID:GID");
  return containers::identify(user, {}, accounts);
}

}  // namespace

/// Mount options with their variables replaced.
Result<std::vector<RunMount>> StageBuilder::run_mounts(const instr::Run& run) {
  std::vector<RunMount> mounts;
  int agents = 0;
  for (const auto& text : run.mounts) {
    ASSIGN_OR_RETURN(const std::string expanded, expand_word(text, state_.meta.lookup(), {.escape = state_.meta.escape}));
    ASSIGN_OR_RETURN(RunMount mount, parse_run_mount(expanded));
    if (mount.type == RunMountType::secret && mount.target.empty() && !mount.env) mount.target = "/run/secrets/" + mount.id;
    if (mount.type == RunMountType::ssh && mount.id.empty()) mount.id = "default";
    if (mount.type == RunMountType::ssh && mount.target.empty()) mount.target = "/run/buildkit/ssh_agent." + std::to_string(agents++);
    const bool file = mount.type == RunMountType::secret || mount.type == RunMountType::ssh;
    if (!mount.target.empty() || !file) {  // a folder without a target goes over the working directory
      mount.target = absolute_path(state_.meta, mount.target);
      if (mount.target.size() > 1 && mount.target.back() == '/') mount.target.pop_back();
      if (mount.target == "/") return invalid("invalid mount target \"/\"");
    }
    if (mount.type == RunMountType::cache && mount.id.empty()) mount.id = mount.target;
    mounts.push_back(std::move(mount));
  }
  // What lies deeper goes over what lies above it, in whatever order they are written: BuildKit sorts by the number of components.
  const auto depth = [](const RunMount& mount) { return std::count(mount.target.begin(), mount.target.end(), '/'); };
  std::stable_sort(mounts.begin(), mounts.end(), [&](const RunMount& a, const RunMount& b) { return depth(a) < depth(b); });
  return mounts;
}

/// The words the runtime executes; `script` is a heredoc that is a program of its own ("#!…").
Result<std::vector<std::string>> StageBuilder::run_words(const instr::Run& run, std::optional<std::string>& script, std::string& shown) {
  CommandLine command = run.command;
  if (run.heredocs.empty()) return with_shell(state_.meta, command);
  if (!command.shell || command.words.size() != 1) return invalid("parsing produced an invalid run command");
  const Heredoc& first = run.heredocs.front();
  if (heredoc_word(command.words.front())) {
    shown += " (" + summary(first.raw) + ")";
    if (first.raw.starts_with("#!")) script = first.content;
    command.words = {script ? "/dev/pipes/" + first.name : first.content};
  } else {
    std::string full = command.words.front();
    for (const auto& heredoc : run.heredocs) full += "\n" + heredoc.raw + heredoc.name;
    command.words = {full};
  }
  return with_shell(state_.meta, command);
}

std::vector<std::string> StageBuilder::run_environment(const std::string& home) const {
  std::vector<KeyValue> values = state_.meta.env;
  const auto set = [&](const std::string& key, const std::string& value) {
    std::erase_if(values, [&](const KeyValue& one) { return one.key == key; });
    values.push_back({key, value});
  };
  for (const auto& [key, value] : bench_.request.args)
    if (is_proxy_argument(key) && !value.empty()) set(upper(key), value), set(lower(key), value);  // programs read either
  std::vector<std::string> env;
  bool has_home = false;
  for (const auto& [key, value] : values) {
    env.push_back(key + "=" + value);
    has_home = has_home || key == "HOME";
  }
  if (!has_home) env.push_back("HOME=" + (home.empty() ? "/" : home));
  return env;
}

/// What of a mount decides the result: content of binds, no secrets and no caches.
Result<std::string> StageBuilder::mount_key(const RunMount& mount) {
  Hasher key;
  key.number(static_cast<int>(mount.type)).field(mount.target).field(mount.source).field(mount.from).field(mount.id);
  key.number(static_cast<int>(mount.sharing)).number(mount.read_only ? *mount.read_only : 2).number(mount.size_bytes);
  key.number(mount.mode ? *mount.mode : -1).field(mount.uid.value_or("-")).field(mount.gid.value_or("-")).field(mount.env.value_or("-"));
  if (mount.type == RunMountType::bind) {
    instr::Copy as_copy;
    as_copy.from = mount.from;
    as_copy.sources = {mount.source.empty() ? "/" : mount.source};
    as_copy.destination = "/";
    ASSIGN_OR_RETURN(std::string digest, content_key(as_copy));
    key.field(digest);
  }
  return key.hex();
}

Result<> StageBuilder::execute(const instr::Run& run, const std::vector<RunMount>& mounts, const std::vector<std::string>& words,
                                  const std::optional<std::string>& script, StepLayer& layer, Vertex vertex) {
  const std::string failed = "process \"" + joined(words) + "\" did not complete successfully";
  RunStep step;
  TRY(layer.as_mount(state_.layers));
  ASSIGN_OR_RETURN(const auto accounts, containers::read_accounts(layer.root()));
  ASSIGN_OR_RETURN(step.who, identify_step(state_.meta.config.user, accounts).with(failed));
  step.args = words;
  step.env = run_environment(step.who.home);
  step.cwd = "/" + state_.meta.config.working_dir;  // with its "..": the runtime makes what is missing on the way, and links count
  step.root = layer.root();
  step.network = !run.network.empty() && run.network != "default" ? run.network : bench_.request.network;
  step.insecure = run.security == "insecure" || bench_.request.privileged;
  if (const auto name = bench_.request.args.find("BUILDKIT_SANDBOX_HOSTNAME"); name != bench_.request.args.end()) step.hostname = name->second;
  step.memory_bytes = bench_.request.memory_bytes;
  step.shm_size_bytes = bench_.request.shm_size_bytes;
  step.ulimits = bench_.request.ulimits;

  UniqueFd netns;
  std::string connection;
  const bool own_network = (step.network.empty() || step.network == "default") && bench_.network != nullptr;
  if (own_network) {
    connection = std::to_string(vertex);
    ASSIGN_OR_RETURN(netns, bench_.network->connect(connection));
    step.netns = netns.borrow();
  }
  struct Disconnect {
    StepNetwork* network;
    const std::string& id;
    ~Disconnect() { if (network != nullptr) network->disconnect(id); }
  } const disconnect{own_network ? bench_.network : nullptr, connection};

  RunMounts ready(bench_, step);
  TRY(ready.add_names());
  if (script) TRY(ready.add_script("/dev/pipes/" + run.heredocs.front().name, *script));
  std::vector<ReadyTree> trees(mounts.size());
  for (std::size_t i = 0; i < mounts.size(); ++i)
    if (mounts[i].type == RunMountType::bind || (mounts[i].type == RunMountType::cache && !mounts[i].from.empty())) {
      ASSIGN_OR_RETURN(trees[i], ready_tree(mounts[i].from));
    }
  TRY(ready.take_caches(mounts, trees));
  for (std::size_t i = 0; i < mounts.size(); ++i) TRY(ready.add(mounts[i], std::move(trees[i])));
  MountPoints points(layer.root());
  // Docker's own mounts and ours; what lies below another mount is made inside that one by the runtime.
  for (const auto& [path, folder] : ready.targets()) {
    // These three stay in the layer, as Docker leaves them; all others go again.
    if (path == "/proc" || path == "/sys" || path == "/dev") TRY(make_in_root(layer.root(), path, {}));
    else TRY(points.need(path, folder));
  }
  auto code = bench_.runner.run(step, [&](std::string_view text) { bench_.progress.output(vertex, text); });
  TRY(points.remove());
  if (!code) {
    auto error = std::move(code).error();
    if (error.kind != base::ErrorKind::cancelled) error.context.push_back(failed);
    return error;
  }
  if (*code != 0) {
    // Not refused before it runs: a stage of another platform may hold programs of this one.
    const auto foreign = why_foreign(state_.meta.config.architecture);
    return base::make_error(base::ErrorKind::invalid, failed + ": exit code: " + std::to_string(*code) + (foreign.empty() ? "" : "; " + foreign));
  }
  const std::string upper = layer.upper().string();
  layer.close();
  if (!state_.layers.folders.empty()) TRY(points.prune(upper));
  return {};
}

Result<> StageBuilder::run(const instr::Run& run, const Command& command) {
  std::string shown = shown_command(command);
  std::optional<std::string> script;
  ASSIGN_OR_RETURN(const auto words, run_words(run, script, shown));
  ASSIGN_OR_RETURN(const auto mounts, run_mounts(run));
  const auto& entitled = bench_.request.entitlements;
  const auto has = [&](const char* name) { return std::find(entitled.begin(), entitled.end(), name) != entitled.end(); };
  if (run.security == "insecure" && !bench_.request.privileged && !has("security.insecure"))
    return base::make_error(base::ErrorKind::permission, "granting entitlement security.insecure is not allowed by build entitlements");
  if (run.network == "host" && bench_.request.network != "host" && !bench_.request.privileged && !has("network.host"))
    return base::make_error(base::ErrorKind::permission, "granting entitlement network.host is not allowed by build entitlements");

  Hasher key;
  key.field("run-5").field(state_.meta.config.os).field(state_.meta.config.architecture).field(state_.meta.config.variant).field(state_.layers.key()).field(state_.meta.config.user).field(state_.meta.config.working_dir);
  for (const auto& word : words) key.field(word);
  key.field(script.value_or(""));
  key.number(static_cast<std::int64_t>(state_.meta.env.size()));
  for (const auto& [name, value] : state_.meta.env) key.field(name).field(value);
  // Where the step reaches, whoever said it: the instruction or the build.
  std::string network = !run.network.empty() && run.network != "default" ? run.network : bench_.request.network;
  if (network == "default") network.clear();
  key.field(network).field(run.security).number(bench_.request.privileged);
  for (const auto& mount : mounts) {
    ASSIGN_OR_RETURN(const std::string digest, mount_key(mount));
    key.field(digest);
  }
  const std::string history = "RUN " + state_.meta.args_prefix() + joined(words) + " # buildkit";
  return layer_step(key.hex(), shown, history, false, [&](StepLayer& layer, Vertex vertex) {
    return execute(run, mounts, words, script, layer, vertex);
  });
}

}  // namespace engine::build
