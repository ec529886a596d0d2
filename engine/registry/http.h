#pragma once
// libcurl behind Result. Private to the room.
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::registry {

using base::Result;

struct TlsOptions {
  bool verify = true;
  std::string extra_ca_pem;              ///< trusted beside the system's
  std::string client_certificate, client_key;  ///< paths
  std::string folder;                    ///< where certificates for this host belong, to be told when one is missing; "" = nowhere
};

struct HttpRequest {
  std::string method = "GET";
  std::string url;
  std::vector<std::string> headers;      ///< "Name: value"
  std::string bearer, user_password;     ///< dropped by curl when a redirect leaves the host or port
  std::string body;                      ///< small request bodies
  base::Fd upload;                       ///< valid: the body, from its current offset
  std::int64_t upload_bytes = 0;
  std::int64_t range_from = 0;           ///< > 0: "Range: bytes=N-"
  bool follow_redirects = true;
  long connect_timeout_s = 15;           ///< TLS handshake included
  TlsOptions tls;
  std::size_t body_limit = 4u << 20;     ///< of a body that is collected
  /// Receives the body of a 2xx answer; without it the body is collected. `start`: which byte of the whole the body begins with, 0
  /// unless the server says that it sends a part.
  std::function<Result<>(std::int64_t start, std::span<const char>)> sink;
  std::function<void(std::int64_t)> on_upload;  ///< bytes sent so far
};

struct HttpResponse {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case; of the last answer of a redirect chain
  std::string body;
  [[nodiscard]] std::string header(std::string_view name) const;
};

/// Error kinds: unavailable (connection, timeout: trying again may help), permission (TLS), invalid (URL), or the sink's.
/// `number` of an unavailable error is the curl code.
class Http {
 public:
  /// Connections are kept open and shared by all calls of this object. Thread-safe.
  Http();
  ~Http();
  Http(const Http&) = delete;
  Http& operator=(const Http&) = delete;
  Result<HttpResponse> perform(const HttpRequest& request);

 private:
  struct Handle;
  std::unique_ptr<Handle> take();
  std::mutex mutex_;
  std::vector<std::unique_ptr<Handle>> idle_;
};

/// A transfer of less than 1000 bytes a second for so long is broken off (error unavailable). 30 s unless set; for all of the process.
void set_stall_limit(std::chrono::seconds limit);

std::string url_encode(std::string_view text);
/// "Sun, 06 Nov 1994 08:49:37 GMT" → seconds since the epoch; -1 when it is no date.
std::int64_t http_date_s(const std::string& text);

}  // namespace engine::registry
