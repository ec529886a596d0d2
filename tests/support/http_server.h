#pragma once
// A registry (or any web server) for tests: loopback, one thread a connection, every answer decided by the test.
#include <atomic>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace support {

struct WebRequest {
  std::string method, path, query, body;
  std::map<std::string, std::string> headers;  ///< names in lower case
};

struct WebAnswer {
  int status = 200;
  std::string body;
  std::map<std::string, std::string> headers;
  std::size_t cut_after = std::string::npos;   ///< close the connection after so many bytes of the body
  bool stall = false;                          ///< instead of closing it there, send nothing more until the client goes
};

class WebServer {
 public:
  explicit WebServer(std::function<WebAnswer(const WebRequest&)> handler);
  ~WebServer();
  WebServer(const WebServer&) = delete;
  WebServer& operator=(const WebServer&) = delete;
  /// "127.0.0.1:PORT"
  [[nodiscard]] std::string host() const { return "127.0.0.1:" + std::to_string(port_); }
  /// "GET /v2/…" of all requests so far, in order.
  std::vector<std::string> log();
  int count(const std::string& prefix);

 private:
  void accept_all();
  void serve(int connection);
  std::function<WebAnswer(const WebRequest&)> handler_;
  int listener_ = -1;
  int port_ = 0;
  std::mutex mutex_;
  std::vector<std::string> log_;
  std::vector<std::thread> connections_;
  std::vector<int> open_;
  std::thread acceptor_;
};

}  // namespace support
