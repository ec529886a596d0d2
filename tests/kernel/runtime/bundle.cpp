#include "tests/kernel/runtime/bundle.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "runtime/linux/cgroup.h"
#include "runtime/spec/json.h"

namespace runtime_test {

namespace {

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

}  // namespace

std::vector<std::string> Outcome::all(const std::string& key) const {
  std::vector<std::string> found;
  for (const auto& line : lines_of(out))
    if (line.starts_with(key + "=")) found.push_back(line.substr(key.size() + 1));
  return found;
}

std::string Outcome::one(const std::string& key) const {
  const auto found = all(key);
  return found.empty() ? "" : found.front();
}

std::string why_not() {
  if (::geteuid() != 0) return "needs root";
  return "";
}

Bundle::Bundle() : config(runtime::spec::docker::config()) {
  static int counter = 0;
  id_ = "rt" + std::to_string(::getpid()) + "-" + std::to_string(++counter);
  const auto probe = std::filesystem::path(BIN_DIR) / "probe";
  for (const char* name : {"proc", "sys", "dev", "tmp", "etc", "bin"}) std::filesystem::create_directories(root() / name);
  std::filesystem::permissions(root() / "tmp", std::filesystem::perms(01777));
  std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  std::filesystem::copy_file(probe, root() / "bin/probe", std::filesystem::copy_options::overwrite_existing);
  folder_.write("rootfs/inside-the-container", "yes\n");
  folder_.write("rootfs/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n");
  config.root.path = "rootfs";
  config.linux_.cgroups_path = "/rt-test/" + id_;
  // A network namespace costs most of a start; tests that are about it add it.
  std::erase_if(config.linux_.namespaces, [](const auto& space) { return space.type == "network"; });
  config.linux_.sysctl.clear();
  this->probe({"report"});
}

Bundle::~Bundle() {
  if (std::filesystem::exists(state() / id_)) (void)runtime({"delete", "--force", id_});
  while (::waitpid(-1, nullptr, WNOHANG) > 0) {
  }
}

Bundle& Bundle::probe(std::vector<std::string> words) {
  words.insert(words.begin(), "/bin/probe");
  config.process->args = std::move(words);
  return *this;
}

void Bundle::write_config() const { folder_.write("config.json", to_json(config)); }

Outcome Bundle::runtime(const std::vector<std::string>& words, const std::vector<std::pair<base::Fd, int>>& fds) const {
  const auto out_file = folder_.path() / "stdout", err_file = folder_.path() / "stderr";
  // New files each time: a detached container goes on writing to those it was started with.
  ::unlink(out_file.c_str());
  ::unlink(err_file.c_str());
  const auto out = base::sys::open(out_file, O_RDWR | O_CREAT | O_EXCL, 0666);
  const auto err = base::sys::open(err_file, O_RDWR | O_CREAT | O_EXCL, 0666);
  if (!out || !err) return {.code = -2, .out = {}, .err = "cannot open output files"};
  base::SpawnOptions options;
  options.program = before.empty() ? std::filesystem::path(BIN_DIR) / program : std::filesystem::path(before.front());
  options.arguments = before;
  options.arguments.emplace_back(before.empty() ? "compose-runtime" : program);
  options.arguments.insert(options.arguments.end(), {"--root", state().string(), "--command-codes"});
  options.arguments.insert(options.arguments.end(), words.begin(), words.end());
  options.fds = {{out->borrow(), 1}, {err->borrow(), 2}};
  options.fds.insert(options.fds.end(), fds.begin(), fds.end());
  auto child = base::ChildProcess::spawn(options);
  if (!child) return {.code = -2, .out = {}, .err = child.error().text()};
  const auto status = child->wait(std::chrono::seconds(15));
  Outcome outcome;
  outcome.code = status ? status->code : -3;
  outcome.out = base::sys::read_file(out_file).has_value() ? *base::sys::read_file(out_file) : "";
  outcome.err = base::sys::read_file(err_file).has_value() ? *base::sys::read_file(err_file) : "";
  return outcome;
}

Outcome Bundle::run(const std::vector<std::string>& flags) const {
  write_config();
  std::vector<std::string> words{"run", "--bundle", folder_.path().string()};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back(id_);
  return runtime(words);
}

Outcome Bundle::start(const std::vector<std::string>& flags) const {
  auto all = flags;
  all.emplace_back("--detach");
  return run(all);
}

Outcome Bundle::exec(const std::vector<std::string>& flags, const std::vector<std::string>& command) const {
  std::vector<std::string> words{"exec"};
  words.insert(words.end(), flags.begin(), flags.end());
  words.push_back(id_);
  words.insert(words.end(), command.begin(), command.end());
  return runtime(words);
}

std::string Bundle::status() const {
  const auto outcome = runtime({"state", id_});
  const std::string mark = "\"status\":\"";
  const std::size_t at = outcome.out.find(mark);
  if (at == std::string::npos) return "none";
  return outcome.out.substr(at + mark.size(), outcome.out.find('"', at + mark.size()) - at - mark.size());
}

int Bundle::wait_init(pid_t pid) const {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) return -1;
  return base::ExitStatus::from_wait(status).code;
}

std::string Bundle::leftovers() const {
  std::string out;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(state(), ignored))
    if (entry.path().filename() != ".cache") out += "state " + entry.path().string() + "\n";
  if (const auto host = runtime::cgroup_host())
    for (const auto& hierarchy : host->hierarchies)
      if (std::filesystem::exists(hierarchy.mount_point + config.linux_.cgroups_path))
        out += "cgroup " + hierarchy.mount_point + config.linux_.cgroups_path + "\n";
  if (const auto mounts = base::sys::read_file("/proc/self/mountinfo"); mounts && mounts->find(folder_.path().string()) != std::string::npos)
    out += "mount below " + folder_.path().string() + "\n";
  return out;
}

std::string refusal(const std::function<void(runtime::spec::Config&)>& change) {
  Bundle bundle;
  change(bundle.config);
  const auto seen = bundle.run();
  CHECK(seen.code == 1);
  CHECK(bundle.leftovers() == "");
  return seen.err;
}

std::string mount_line(const Outcome& outcome, const std::string& target) {
  std::string last;
  for (const auto& line : outcome.all("mount")) {
    std::size_t at = 0;
    for (int skip = 0; skip < 4; ++skip) at = line.find(' ', at) + 1;
    if (line.compare(at, target.size() + 1, target + " ") == 0) last = line.substr(at);
  }
  return last;
}

}  // namespace runtime_test
