// `compose-image build`
#include <csignal>
#include <cstdio>

#include "base/sys.h"
#include "engine/build/build.h"
#include "engine/images/image_store.h"
#include "engine/images/printable.h"

namespace engine::build {
namespace {

constexpr std::size_t request_bytes_max = 16u << 20;

base::Result<std::string> read_all(base::Fd fd) {
  std::string text;
  std::vector<char> buffer(64 * 1024);
  while (true) {
    ASSIGN_OR_RETURN(const std::size_t got, base::sys::read(fd, buffer));
    if (got == 0) return text;
    text.append(buffer.data(), got);
    if (text.size() > request_bytes_max) return base::make_error(base::ErrorKind::invalid, "build request: larger than 16 MiB");
  }
}

void say(const std::string& text) { (void)base::sys::write_all(base::Fd(2), images::printable(text) + "\n"); }

base::Result<BuildRequest> read_request(const std::vector<std::string>& arguments) {
  ASSIGN_OR_RETURN(const std::string text, read_all(base::Fd(0)));
  ASSIGN_OR_RETURN(BuildRequest request, request_from_json(text));
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] != "--iidfile" || i + 1 == arguments.size())
      return base::make_error(base::ErrorKind::invalid, "unknown argument " + arguments[i]);
    request.iidfile = arguments[++i];
  }
  return request;
}

void stop(int) { cancel_builds(); }

}  // namespace

int run_build(const std::vector<std::string>& arguments) {
  struct sigaction action {};
  action.sa_handler = stop;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  ::sigaction(SIGPIPE, &action, nullptr);
  const auto request = read_request(arguments);
  if (!request) {
    say(request.error().text());
    return 1;
  }
  BuildFailure failure;
  const auto result = build_image(*request, base::Fd(1), &failure);
  if (result) {
    images::settle_in_background();
    return 0;
  }
  if (failure.error.kind == base::ErrorKind::cancelled) {
    say("canceled");
    return 130;
  }
  if (!failure.excerpt.empty()) (void)base::sys::write_all(base::Fd(2), failure.excerpt);
  say(result.error().text());
  return 1;
}

}  // namespace engine::build
