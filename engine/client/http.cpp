#include "engine/client/http.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <charconv>

#include "base/sys.h"
#include "engine/api/paths.h"
#include "engine/api/types_json.h"

namespace engine::client {
namespace {

using base::Result;

constexpr std::size_t head_bytes_max = 16 * 1024;

base::Error gone() { return base::make_error(base::ErrorKind::unavailable, "the supervisor went away"); }

Result<> send_all(base::Fd socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket.number(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return gone();
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

/// Reads up to the empty line that ends the head.
Result<Answer> read_head(base::UniqueFd socket) {
  std::string text;
  std::array<char, 16384> buffer;
  std::size_t end;
  while ((end = text.find("\r\n\r\n")) == std::string::npos) {
    if (text.size() > head_bytes_max) return base::make_error(base::ErrorKind::invalid, "the supervisor's answer has no end of head");
    auto count = base::sys::read(socket.borrow(), buffer);
    if (!count || *count == 0) return gone();
    text.append(buffer.data(), *count);
  }
  Answer answer;
  const std::size_t code = text.find(' ');
  if (!text.starts_with("HTTP/1.") || code > end) return base::make_error(base::ErrorKind::invalid, "no HTTP answer");
  std::from_chars(text.data() + code + 1, text.data() + end, answer.status);
  answer.body = text.substr(end + 4);
  answer.socket = std::move(socket);
  return answer;
}

}  // namespace

Result<Answer> request(const std::string& project, const std::string& method, const std::string& target, const std::string& body) {
  ASSIGN_OR_RETURN(auto socket, base::sys::connect_unix(paths::api_socket(project)));
  TRY(send_all(socket.borrow(), method + " " + target + " HTTP/1.1\r\nHost: compose\r\nContent-Type: application/json\r\nContent-Length: " +
                                    std::to_string(body.size()) + "\r\n\r\n"));
  TRY(send_all(socket.borrow(), body));
  return read_head(std::move(socket));
}

Result<std::string> read_body(Answer& answer) {
  std::array<char, 65536> buffer;
  while (true) {
    ASSIGN_OR_RETURN(const auto count, base::sys::read(answer.socket.borrow(), buffer));
    if (count == 0) return std::move(answer.body);
    answer.body.append(buffer.data(), count);
  }
}

Result<std::string> call(const std::string& project, const std::string& target, const std::string& body) {
  ASSIGN_OR_RETURN(auto answer, request(project, "POST", target, body));
  ASSIGN_OR_RETURN(auto text, read_body(answer));
  if (answer.status >= 200 && answer.status < 300) return text;
  ASSIGN_OR_RETURN(auto error, from_json<base::Error>(text));
  return error;
}

std::string escape(const std::string& text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) || c == '-' || c == '_' || c == '.' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += digits[byte >> 4];
      out += digits[byte & 15];
    }
  }
  return out;
}

Result<bool> readable(base::Fd fd, base::Fd interrupt) {
  pollfd ready[2] = {{fd.number(), POLLIN, 0}, {interrupt.number(), POLLIN, 0}};
  while (::poll(ready, 2, -1) < 0)
    if (errno != EINTR) return base::errno_error(errno, "poll");
  return (ready[1].revents & POLLIN) == 0;
}

}  // namespace engine::client
