#include "engine/build/context.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/registry/encoding.h"
#include "engine/registry/fetch.h"
#include "engine/registry/unpack.h"

namespace engine::build {
namespace {

namespace fs = std::filesystem;
constexpr std::int64_t download_bytes_max = std::int64_t{16} << 30;
constexpr std::size_t ignore_bytes_max = 4u << 20;

Result<fs::path> unpack_into_session(Session& session, Fd archive) {
  ASSIGN_OR_RETURN(fs::path folder, session.new_folder());
  ASSIGN_OR_RETURN(const UniqueFd root, base::sys::open(folder, O_RDONLY | O_DIRECTORY));
  registry::UnpackOptions options;
  options.whiteouts = registry::Whiteouts::literal;
  options.keep_owner = false;
  TRY(registry::unpack(archive, root.borrow(), options).with("unpacking the build context"));
  return folder;
}

Result<fs::path> download(Session& session, const std::string& url) {
  ASSIGN_OR_RETURN(const fs::path folder, session.new_folder());
  ASSIGN_OR_RETURN(const UniqueFd file, base::sys::open(folder / "context", O_RDWR | O_CREAT | O_EXCL, 0600));
  TRY(registry::fetch_url(url, file.borrow(), download_bytes_max).with("fetching the build context " + url));
  TRY(base::sys::wrap("lseek", ::lseek(file.number(), 0, SEEK_SET)));
  return unpack_into_session(session, file.borrow());
}

}  // namespace

bool is_url(const std::string& text) { return text.starts_with("http://") || text.starts_with("https://"); }

std::string url_file_name(const std::string& url) {
  std::string path = url.substr(url.find("://") + 3);
  path = path.substr(0, path.find_first_of("?#"));
  const std::size_t host_end = path.find('/');
  path = host_end == std::string::npos ? "" : registry::percent_decoded(path.substr(host_end));
  while (path.ends_with('/')) path.pop_back();
  const std::string name = path.substr(path.rfind('/') + 1);
  return name.empty() || name == "." || name == ".." || name.find('\0') != std::string::npos ? "__unnamed__" : name;
}

Result<Context> Context::open(Session& session, const std::string& source, bool keep_git_dir) {
  Context context;
  const bool short_form = source.starts_with("github.com/");  // an old way to write it, for contexts alone
  if (is_git(source) || short_form) {
    ASSIGN_OR_RETURN(GitSource git, parse_git(short_form ? "https://" + source : source));
    git.keep_git_dir = git.keep_git_dir || keep_git_dir;
    ASSIGN_OR_RETURN(auto checkout, fetch_git(session, git).with("fetching the build context " + source));
    context.folder_ = std::move(checkout.folder);
  } else if (is_url(source)) {
    ASSIGN_OR_RETURN(context.folder_, download(session, source));
  } else {
    struct stat info {};
    if (::stat(source.c_str(), &info) != 0) {
      if (errno == ENOENT) return base::make_error(base::ErrorKind::not_found, "unable to prepare context: path \"" + source + "\" not found");
      return base::errno_error(errno, "unable to prepare context: " + source);
    }
    if (S_ISDIR(info.st_mode)) {
      context.folder_ = source;
    } else {
      ASSIGN_OR_RETURN(const UniqueFd archive, base::sys::open(source, O_RDONLY));
      ASSIGN_OR_RETURN(context.folder_, unpack_into_session(session, archive.borrow()));
    }
  }
  ASSIGN_OR_RETURN(context.root_, base::sys::open(context.folder_, O_RDONLY | O_DIRECTORY));
  std::error_code ignored;
  Hasher name;
  name.field(fs::canonical(context.folder_, ignored).string());
  context.digest_file_ = paths::build_cache() / "digests" / name.hex().substr(7, 32);
  context.digests_ = std::make_unique<StatCache>(StatCache::load(context.digest_file_));
  return context;
}

Result<std::size_t> Context::load_ignore(const std::string& dockerfile) {
  // The Dockerfile's own ignore file stands beside it and wins over the context's.
  std::vector<UniqueFd> candidates;
  if (!dockerfile.empty()) {
    const std::string own = dockerfile + ".dockerignore";
    auto beside = own.starts_with('/') ? base::sys::open(own, O_RDONLY) : open_in_root(root_.borrow(), own, O_RDONLY);
    if (beside) candidates.push_back(std::move(*beside));
  }
  if (candidates.empty()) {
    auto general = open_in_root(root_.borrow(), ".dockerignore", O_RDONLY);
    if (!general) return std::size_t{0};
    candidates.push_back(std::move(*general));
  }
  const std::string self = "/proc/self/fd/" + std::to_string(candidates.front().number());
  ASSIGN_OR_RETURN(const std::string text, base::sys::read_file(self, ignore_bytes_max));
  ASSIGN_OR_RETURN(ignore_, IgnoreRules::parse(text));
  return text.size();
}

void Context::save_digests() { (void)digests_->save(digest_file_); }  // a lost cache costs time only

}  // namespace engine::build
