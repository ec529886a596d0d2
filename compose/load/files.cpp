#include "compose/load/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/unique_fd.h"

namespace compose::load {
namespace {

constexpr std::size_t file_size_max = 64U << 20U;

base::Result<std::string> read_all(int fd, const std::string& path) {
  std::string text;
  char buffer[65536];
  for (;;) {
    const auto got = ::read(fd, buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::errno_error(errno, "read " + path);
    if (got == 0) return text;
    text.append(buffer, static_cast<std::size_t>(got));
    if (text.size() > file_size_max)
      return base::make_error(base::ErrorKind::invalid, path + " is larger than 64 MiB");
  }
}

class SystemFiles final : public FileReader {
 public:
  base::Result<std::string> read(const std::string& path) const override {
    if (path == "-") return read_all(STDIN_FILENO, "standard input");
    const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!fd.valid()) return base::errno_error(errno, "open " + path);
    struct stat info {};
    if (::fstat(fd.number(), &info) != 0) return base::errno_error(errno, "stat " + path);
    if (S_ISDIR(info.st_mode)) return base::errno_error(EISDIR, "read " + path);
    return read_all(fd.number(), path);
  }
  bool exists(const std::string& path) const override {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0;
  }
  bool is_directory(const std::string& path) const override {
    struct stat info {};
    return ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }
  std::optional<std::string> link_target(const std::string& path) const override {
    struct stat info {};
    if (::lstat(path.c_str(), &info) != 0 || !S_ISLNK(info.st_mode)) return std::nullopt;
    const std::unique_ptr<char, decltype(&std::free)> target(::realpath(path.c_str(), nullptr), &std::free);
    return target == nullptr ? "" : target.get();
  }
};

class MemoryFiles final : public FileReader {
 public:
  explicit MemoryFiles(std::map<std::string, std::string> files) : files_(std::move(files)) {}
  base::Result<std::string> read(const std::string& path) const override {
    const auto found = files_.find(path);
    if (found != files_.end()) return found->second;
    return base::errno_error(is_directory(path) ? EISDIR : ENOENT, "open " + path);
  }
  bool exists(const std::string& path) const override { return files_.contains(path) || is_directory(path); }
  bool is_directory(const std::string& path) const override {
    const std::string prefix = path == "/" ? path : path + "/";
    const auto next = files_.lower_bound(prefix);
    return next != files_.end() && next->first.starts_with(prefix);
  }

 private:
  std::map<std::string, std::string> files_;
};

}  // namespace

base::Result<std::string> FileReader::fetch(const std::string& reference) const {
  return base::make_error(base::ErrorKind::unsupported, "'" + reference + "' is remote, and remote files cannot be fetched here");
}

std::optional<std::string> FileReader::link_target(const std::string&) const { return std::nullopt; }

bool is_remote(std::string_view reference) {
  for (const std::string_view scheme : {"oci://", "git://", "ssh://", "github.com/"})
    if (reference.starts_with(scheme)) return true;
  const auto target = reference.substr(0, reference.find('#'));
  if (target.starts_with("https://") || target.starts_with("http://")) return target.ends_with(".git");
  // user@host:path, as scp writes it
  const auto at = target.find('@'), colon = target.find(':'), slash = target.find('/');
  return at != std::string_view::npos && at > 0 && colon != std::string_view::npos && at < colon &&
         (slash == std::string_view::npos || colon < slash);
}

std::unique_ptr<FileReader> system_files() { return std::make_unique<SystemFiles>(); }

std::unique_ptr<FileReader> memory_files(std::map<std::string, std::string> files) {
  return std::make_unique<MemoryFiles>(std::move(files));
}

}  // namespace compose::load
