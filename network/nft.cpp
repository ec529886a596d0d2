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
}  // namespace

struct Nft::Context {
  const NftLibrary& library;
  nft_ctx* context = nullptr;
  explicit Context(const NftLibrary& functions) : library(functions) {}
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  ~Context() {
    const std::lock_guard guard(library_lock());
    if (context) library.ctx_free(context);
  }
};

Nft::Nft(std::unique_ptr<Context> context) : context_(std::move(context)) {}
Nft::Nft(Nft&&) noexcept = default;
Nft& Nft::operator=(Nft&&) noexcept = default;
Nft::~Nft() = default;

base::Result<Nft> Nft::open() {
  TRY(base::sys::wrap("open nftables", 0));
  ASSIGN_OR_RETURN(const auto* library, nft_library());
  auto context = std::make_unique<Context>(*library);
  const std::lock_guard guard(library_lock());
  context->context = library->ctx_new(NFT_CTX_DEFAULT);
  if (!context->context) return base::make_error(base::ErrorKind::unsupported, "nftables is not available");
  library->ctx_buffer_output(context->context);
  library->ctx_buffer_error(context->context);
  return Nft(std::move(context));
}

base::Result<Nft> Nft::open(base::Fd netns) {
  base::Result<Nft> out = base::make_error(base::ErrorKind::internal, "not opened");
  auto entered = in_netns(netns, [&]() -> base::Result<> {
    out = open();
    return {};
  });
  if (!entered) return std::move(entered).error();
  return out;
}

base::Result<std::string> Nft::run(const std::string& commands) {
  TRY(base::sys::wrap("nft", 0));
  const std::lock_guard guard(library_lock());
  const NftLibrary& library = context_->library;
  library.ctx_output_set_flags(context_->context, 0);
  errno = 0;
  const int result = library.run_cmd_from_buffer(context_->context, commands.c_str());
  std::string output = library.ctx_get_output_buffer(context_->context);
  const std::string problem = library.ctx_get_error_buffer(context_->context);
  if (result == 0) return output;
  auto error = base::make_error(base::ErrorKind::io, "nft: " + first_line(problem));
  if (problem.find("No such file") != std::string::npos) error.kind = base::ErrorKind::not_found;
  if (problem.find("File exists") != std::string::npos) error.kind = base::ErrorKind::exists;
  if (problem.find("not permitted") != std::string::npos) error.kind = base::ErrorKind::permission;
  return error;
}

base::Result<std::string> Nft::run_json(const std::string& commands) {
  TRY(base::sys::wrap("nft", 0));
  const std::lock_guard guard(library_lock());
  const NftLibrary& library = context_->library;
  library.ctx_output_set_flags(context_->context, NFT_CTX_OUTPUT_JSON | NFT_CTX_OUTPUT_HANDLE);
  const int result = library.run_cmd_from_buffer(context_->context, commands.c_str());
  std::string output = library.ctx_get_output_buffer(context_->context);
  const std::string problem = library.ctx_get_error_buffer(context_->context);
  if (result == 0) return output;
  return base::make_error(problem.find("No such file") != std::string::npos ? base::ErrorKind::not_found
                                                                            : base::ErrorKind::io,
                          "nft: " + first_line(problem));
}

}  // namespace network
