#pragma once
// One request on a unix socket, blocking. The answer's body ends with the connection.
#include <functional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace engine::client {

struct Answer {
  int status = 0;
  std::string body;          ///< as far as it came with the head; `socket` has the rest
  base::UniqueFd socket;
};

/// Sends "POST target" (or GET) and reads the head of the answer. Errors: not_found, unavailable (no supervisor, or it died meanwhile).
base::Result<Answer> request(const std::string& project, const std::string& method, const std::string& target, const std::string& body);
/// Reads the rest of the body.
base::Result<std::string> read_body(Answer& answer);
/// The value of a plain answer; an Error for what the supervisor refused.
base::Result<std::string> call(const std::string& project, const std::string& target, const std::string& body = "");
/// Escapes a path component: names come from users.
std::string escape(const std::string& text);

/// Waits until `fd` is readable (true) or `interrupt` is (false).
base::Result<bool> readable(base::Fd fd, base::Fd interrupt);

}  // namespace engine::client
