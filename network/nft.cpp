#include "network/nft.h"

#include <cerrno>
#include <mutex>

#include "base/sys.h"
#include "network/netns.h"
#include "network/nft_library.h"

namespace network {
namespace {
// libnftables keeps parser state and caches in globals.
std::mutex& library_lock() {
  static std::mutex lock;
  return lock;
}

std::string first_line(const std::string& text) {
  auto line = text.substr(0, text.find('\n'));
  // "/dev/stdin:1:2-3: Error: …" says nothing to our users before "Error: ".
  if (const auto at = line.find("Error: "); at != std::string::npos) line.erase(0, at + 7);
  return line;
}
/// nft_ctx with the lock that its making, its use and its end need.
class Context {
 public:
  explicit Context(const NftLibrary& library) : guard_(library_lock()), library_(library), context_(library.ctx_new(NFT_CTX_DEFAULT)) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    if (context_) library_.ctx_free(context_);
  }
  [[nodiscard]] nft_ctx* get() const { return context_; }

 private:
  std::lock_guard<std::mutex> guard_;
  const NftLibrary& library_;
  nft_ctx* context_;
};

}  // namespace

base::Result<Nft> Nft::open() {
  ASSIGN_OR_RETURN(const auto netns, base::sys::open("/proc/thread-self/ns/net", O_RDONLY));
  return open(netns.borrow());
}

base::Result<Nft> Nft::open(base::Fd netns) {
  TRY(base::sys::wrap("open nftables", 0));
  ASSIGN_OR_RETURN(const auto* library, nft_library());
  ASSIGN_OR_RETURN(auto own, base::sys::dup(netns));
  return Nft(*library, std::move(own));
}

base::Result<std::string> Nft::run(const std::string& commands) { return run(commands, 0); }

base::Result<std::string> Nft::run_json(const std::string& commands) {
  return run(commands, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
}

base::Result<std::string> Nft::run(const std::string& commands, unsigned flags) {
  TRY(base::sys::wrap("nft", 0));
  std::string output, problem;
  const auto work = [&]() -> base::Result<> {
    const Context context(*library_);
    if (!context.get()) return base::make_error(base::ErrorKind::unsupported, "nftables is not available");
    library_->ctx_buffer_output(context.get());
    library_->ctx_buffer_error(context.get());
    library_->ctx_output_set_flags(context.get(), flags);
    const bool done = library_->run_cmd_from_buffer(context.get(), commands.c_str()) == 0;
    output = library_->ctx_get_output_buffer(context.get());
    problem = library_->ctx_get_error_buffer(context.get());
    if (done) return {};
    auto error = base::make_error(base::ErrorKind::io, "nft: " + first_line(problem));
    if (problem.find("No such file") != std::string::npos) error.kind = base::ErrorKind::not_found;
    if (problem.find("File exists") != std::string::npos) error.kind = base::ErrorKind::exists;
    if (problem.find("not permitted") != std::string::npos) error.kind = base::ErrorKind::permission;
    return error;
  };
  if (auto done = in_netns(netns_.borrow(), work); !done) return std::move(done).error();
  return output;
}

}  // namespace network
