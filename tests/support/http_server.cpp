#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace support {

WebServer::WebServer(std::function<WebAnswer(const WebRequest&)> handler) : handler_(std::move(handler)) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 || listen(listener_, 64) != 0 ||
      getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0)
    std::abort();
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_all(); });
}

WebServer::~WebServer() {
  shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  close(listener_);
  {
    const std::lock_guard guard(mutex_);
    for (const int fd : open_) shutdown(fd, SHUT_RDWR);
  }
  for (auto& thread : connections_) thread.join();
}

std::vector<std::string> WebServer::log() {
  const std::lock_guard guard(mutex_);
  return log_;
}

int WebServer::count(const std::string& prefix) {
  const std::lock_guard guard(mutex_);
  return static_cast<int>(std::count_if(log_.begin(), log_.end(), [&](const std::string& one) { return one.starts_with(prefix); }));
}

void WebServer::accept_all() {
  for (;;) {
    const int connection = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (connection < 0) return;
    const std::lock_guard guard(mutex_);
    open_.push_back(connection);
    connections_.emplace_back([this, connection] { serve(connection); });
  }
}

namespace {

bool receive(int connection, std::string& into) {
  char chunk[65536];
  const auto count = recv(connection, chunk, sizeof chunk, 0);
  if (count <= 0) return false;
  into.append(chunk, static_cast<std::size_t>(count));
  return true;
}

void send_all(int connection, const std::string& bytes) {
  for (std::size_t at = 0; at < bytes.size();) {
    const auto count = send(connection, bytes.data() + at, bytes.size() - at, MSG_NOSIGNAL);
    if (count <= 0) return;
    at += static_cast<std::size_t>(count);
  }
}

WebRequest parse(const std::string& head) {
  WebRequest request;
  const auto first = head.find(' '), second = head.find(' ', first + 1);
  request.method = head.substr(0, first);
  request.path = head.substr(first + 1, second - first - 1);
  if (const auto mark = request.path.find('?'); mark != std::string::npos) {
    request.query = request.path.substr(mark + 1);
    request.path.resize(mark);
  }
  for (auto at = head.find("\r\n"); at != std::string::npos && at + 2 < head.size();) {
    const auto end = head.find("\r\n", at + 2);
    const auto line = head.substr(at + 2, end == std::string::npos ? end : end - at - 2);
    if (const auto colon = line.find(':'); colon != std::string::npos) {
      auto name = line.substr(0, colon);
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      request.headers[name] = line.substr(line.find_first_not_of(' ', colon + 1) == std::string::npos ? line.size() : line.find_first_not_of(' ', colon + 1));
    }
    at = end;
  }
  return request;
}

}  // namespace

void WebServer::serve(int connection) {
  std::string pending;
  for (;;) {
    std::size_t end = 0;
    bool alive = true;
    while (alive && (end = pending.find("\r\n\r\n")) == std::string::npos) {
      alive = receive(connection, pending);
      if (pending.starts_with('\x16')) alive = false;  // a TLS hello: we speak http only, as a real server would say
    }
    if (!alive) break;
    auto request = parse(pending.substr(0, end));
    pending.erase(0, end + 4);
    const auto length = request.headers.contains("content-length") ? std::stoul(request.headers["content-length"]) : 0;
    while (alive && pending.size() < length) alive = receive(connection, pending);
    if (!alive) break;
    request.body = pending.substr(0, length);
    pending.erase(0, length);
    {
      const std::lock_guard guard(mutex_);
      log_.push_back(request.method + " " + request.path);
    }
    auto answer = handler_(request);
    std::string text = "HTTP/1.1 " + std::to_string(answer.status) + " X\r\n";
    if (!answer.headers.contains("Content-Length")) answer.headers["Content-Length"] = std::to_string(answer.body.size());
    for (const auto& [name, value] : answer.headers) text += name + ": " + value + "\r\n";
    text += "\r\n";
    if (request.method != "HEAD") text += answer.body.substr(0, answer.cut_after);
    send_all(connection, text);
    if (answer.cut_after >= answer.body.size()) continue;
    while (answer.stall && receive(connection, pending)) {
    }
    break;
  }
  // Closed under the lock, so that the destructor never shuts down a number that was given out again.
  const std::lock_guard guard(mutex_);
  std::erase(open_, connection);
  close(connection);
}

}  // namespace support
