#include "engine/build/session.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/process.h"
#include "base/sys.h"
#include "engine/api/paths.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;

std::string random_name() {
  unsigned char bytes[8];
  if (::getrandom(bytes, sizeof bytes, 0) != static_cast<ssize_t>(sizeof bytes)) return std::to_string(::getpid());
  std::string name;
  for (const unsigned char byte : bytes) {
    char text[3];
    std::snprintf(text, sizeof text, "%02x", byte);
    name += text;
  }
  return name;
}

fs::path scratch_root() { return paths::build_cache() / "tmp"; }
fs::path private_root() { return paths::run_dir() / "build"; }

/// A container of a RUN whose builder was killed still runs: its cgroup and processes go with it.
void remove_container(const std::string& id) {
  const auto program = base::find_program("compose-runtime");
  if (!program) return;
  base::SpawnOptions options;
  options.program = *program;
  options.arguments = {"compose-runtime", "--root", step_runtime_root().string(), "delete", "--force", id};
  auto child = base::ChildProcess::spawn(options);
  if (child) (void)child->wait(std::chrono::seconds(10));
}

/// The group of RUN steps in every hierarchy, and ours above it when it was the last one; rmdir refuses what is in use.
void remove_cgroups() {
  std::error_code ignored;
  std::vector<fs::path> hierarchies = {"/sys/fs/cgroup"};
  for (const auto& entry : fs::directory_iterator("/sys/fs/cgroup", ignored)) hierarchies.push_back(entry.path());
  for (const auto& hierarchy : hierarchies) {
    (void)::rmdir((hierarchy / "compose" / "build").c_str());
    (void)::rmdir((hierarchy / "compose").c_str());
  }
}

void remove_dead(const fs::path& folder) {
  const auto lock = base::sys::open(folder, O_RDONLY | O_DIRECTORY);
  if (!lock || ::flock(lock->number(), LOCK_EX | LOCK_NB) != 0) return;  // its build is alive
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / "containers", ignored)) remove_container(entry.path().filename());
  (void)base::sys::remove_tree(private_root() / folder.filename());
  (void)base::sys::remove_tree(folder);
}

}  // namespace

fs::path step_runtime_root() { return paths::run_dir() / "build-runtime"; }

Session::Session(Session&& other) noexcept
    : folder_(std::exchange(other.folder_, {})),
      private_folder_(std::exchange(other.private_folder_, {})),
      lock_(std::move(other.lock_)),
      counter_(other.counter_.load()),
      ran_containers_(other.ran_containers_.load()) {}

Result<Session> Session::open() {
  TRY(base::sys::make_directories(scratch_root(), 0700));
  TRY(base::sys::make_directories(private_root(), 0700));
  // Making and locking a folder must look like one step to others that clean up.
  ASSIGN_OR_RETURN(const base::UniqueFd gate, base::sys::open(paths::build_cache() / "tmp.lock", O_RDWR | O_CREAT, 0600));
  TRY(base::sys::wrap("flock", ::flock(gate.number(), LOCK_EX)));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(scratch_root(), ignored)) remove_dead(entry.path());
  Session session;
  const std::string name = random_name();
  session.folder_ = scratch_root() / name;
  session.private_folder_ = private_root() / name;
  TRY(base::sys::make_directories(session.folder_ / "containers", 0700));
  TRY(base::sys::make_directories(session.private_folder_, 0700));
  ASSIGN_OR_RETURN(session.lock_, base::sys::open(session.folder_, O_RDONLY | O_DIRECTORY));
  TRY(base::sys::wrap("flock", ::flock(session.lock_.number(), LOCK_EX | LOCK_NB)));
  return session;
}

Session::~Session() {
  if (folder_.empty()) return;
  (void)base::sys::remove_tree(private_folder_);
  (void)base::sys::remove_tree(folder_);
  if (ran_containers_) remove_cgroups();
}

Result<fs::path> Session::new_folder() {
  const fs::path path = folder_ / std::to_string(++counter_);
  TRY(base::sys::make_directories(path, 0700));
  return path;
}

Result<fs::path> Session::new_private_folder() {
  const fs::path path = private_folder_ / std::to_string(++counter_);
  TRY(base::sys::make_directories(path, 0700));
  return path;
}

Result<std::string> Session::new_container_id() {
  const std::string id = "build-" + folder_.filename().string() + "-" + std::to_string(++counter_);
  ran_containers_ = true;
  TRY(base::sys::write_file(folder_ / "containers" / id, "", 0600));
  return id;
}

void Session::forget_container(const std::string& id) { (void)base::sys::unlink(folder_ / "containers" / id); }

}  // namespace engine::build
