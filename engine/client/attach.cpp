// A container's standard streams over the API socket.
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <thread>

#include "base/sys.h"
#include "engine/api/attach_frame.h"
#include "engine/api/types_json.h"
#include "engine/client/client.h"
#include "engine/client/http.h"

namespace engine::client {
namespace {

using base::ErrorKind;
using base::Result;

/// Finds the detach keys in what is typed. Keys that might begin them are held back until it is clear.
class DetachKeys {
 public:
  explicit DetachKeys(std::string keys) : keys_(std::move(keys)) {}
  /// Moves what is to be sent into `out`; true when the keys were typed.
  bool pass(std::string_view typed, std::string& out) {
    for (const char c : typed) {
      if (!keys_.empty() && c == keys_[seen_]) {
        if (++seen_ == keys_.size()) return true;
        continue;
      }
      out.append(keys_, 0, seen_);
      seen_ = !keys_.empty() && c == keys_[0] ? 1 : 0;
      if (seen_ == 0) out += c;
    }
    return false;
  }

 private:
  std::string keys_;
  std::size_t seen_ = 0;
};

/// How long the next supervisor may take to come up.
constexpr auto reconnect_limit = std::chrono::seconds(20);

Result<> send_frame(base::Fd socket, attach::Type type, std::string_view payload) {
  const std::string bytes = attach::header(type, payload.size()) + std::string(payload);
  for (std::string_view left = bytes; !left.empty();) {
    const ssize_t count = ::send(socket.number(), left.data(), left.size(), MSG_NOSIGNAL);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::errno_error(errno, "send");
    left.remove_prefix(static_cast<std::size_t>(count));
  }
  return {};
}

/// Sends the size of the terminal behind `output`, if it is one.
void send_size(base::Fd socket, base::Fd output) {
  winsize size{};
  if (::ioctl(output.number(), TIOCGWINSZ, &size) != 0 || size.ws_row == 0) return;
  (void)!send_frame(socket, attach::Type::resize, std::to_string(size.ws_row) + " " + std::to_string(size.ws_col)).has_value();
}

/// What came from the container; true after the last frame.
Result<bool> deliver(std::string& bytes, const AttachOptions& options, AttachResult& result) {
  while (const auto frame = attach::parse(bytes)) {
    if (frame->type == attach::Type::exit) {
      int code = 0;
      const auto [end, wrong] = std::from_chars(frame->payload.data(), frame->payload.data() + frame->payload.size(), code);
      if (wrong == std::errc()) result.exit_code = code;
      return true;
    }
    const base::Fd to = frame->type == attach::Type::error ? options.error : options.output;
    if (to.valid()) TRY(base::sys::write_all(to, frame->payload));
    bytes.erase(0, frame->size);
  }
  return false;
}

}  // namespace

Attachment::Attachment(std::string project, std::string name, base::UniqueFd socket, std::string rest)
    : project_(std::move(project)), name_(std::move(name)), socket_(std::move(socket)), rest_(std::move(rest)) {}
Attachment::Attachment(Attachment&&) noexcept = default;
Attachment& Attachment::operator=(Attachment&&) noexcept = default;
Attachment::~Attachment() = default;

Result<Attachment> attach(const std::string& project, const std::string& name) {
  const auto once = [&]() -> Result<Attachment> {
    TRY(ensure_supervisor(project));
    ASSIGN_OR_RETURN(auto answer, request(project, "POST", "/containers/" + escape(name) + "/attach", ""));
    if (answer.status == 101) return Attachment(project, name, std::move(answer.socket), std::move(answer.body));
    ASSIGN_OR_RETURN(const auto text, read_body(answer));
    ASSIGN_OR_RETURN(auto error, from_json<base::Error>(text));
    return error;
  };
  for (const auto deadline = std::chrono::steady_clock::now() + reconnect_limit;;) {
    auto attached = once();
    // A supervisor that is killed meanwhile is followed by the next.
    if (attached || attached.error().kind != ErrorKind::unavailable || std::chrono::steady_clock::now() > deadline) return attached;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

/// The supervisor was killed: to the next one. True when the container has ended meanwhile, as `result` tells then.
Result<bool> Attachment::reconnect(AttachResult& result) {
  auto next = attach(project_, name_);
  if (!next && next.error().kind == ErrorKind::not_found) return true;  // ended and removed (`run --rm`)
  if (!next) return std::move(next).error();
  socket_ = std::move(next->socket_);
  rest_ = std::move(next->rest_);
  // One that ended while nobody served it will send nothing any more.
  const auto info = container(name_);
  if (info && info->state != ContainerState::exited && info->state != ContainerState::dead) return false;
  if (!info) return true;
  ASSIGN_OR_RETURN(result.exit_code, wait(project_, name_));
  return true;
}

/// Who takes nothing any more may have said something before. True after the last frame.
Result<bool> Attachment::hear_out(const AttachOptions& options, AttachResult& result) {
  std::array<char, 65536> buffer;
  for (auto count = base::sys::read(socket_.borrow(), buffer); count && *count > 0; count = base::sys::read(socket_.borrow(), buffer))
    rest_.append(buffer.data(), *count);
  return deliver(rest_, options, result);
}

Result<AttachResult> Attachment::run(const AttachOptions& options) {
  AttachResult result;
  // What a killed supervisor does not take any more is told to the next one.
  const auto send = [&](attach::Type type, std::string_view payload) -> Result<bool> {
    while (!send_frame(socket_.borrow(), type, payload)) {
      ASSIGN_OR_RETURN(bool over, hear_out(options, result));
      if (!over) {
        ASSIGN_OR_RETURN(over, reconnect(result));
      }
      if (over) return true;
    }
    return false;
  };
  DetachKeys keys(options.no_detach_keys ? "" : options.detach_keys);
  bool typing = options.input.valid();
  std::array<char, 65536> buffer;
  send_size(socket_.borrow(), options.output);
  while (true) {
    ASSIGN_OR_RETURN(const bool over, deliver(rest_, options, result));
    if (over) return result;
    pollfd ready[3] = {{socket_.number(), POLLIN, 0}, {typing ? options.input.number() : -1, POLLIN, 0}, {options.interrupt.number(), POLLIN, 0}};
    if (::poll(ready, 3, -1) < 0 && errno != EINTR) return base::errno_error(errno, "poll");
    if (ready[2].revents & POLLIN) {
      const auto next = options.on_interrupt ? options.on_interrupt() : AttachOptions::Next::detach;
      if (next == AttachOptions::Next::resized) send_size(socket_.borrow(), options.output);
      if (next == AttachOptions::Next::detach) {
        result.detached = true;
        return result;
      }
    }
    if (ready[0].revents) {
      auto count = base::sys::read(socket_.borrow(), buffer);
      if (!count || *count == 0) {
        ASSIGN_OR_RETURN(const bool ended, reconnect(result));
        if (ended) return result;
        send_size(socket_.borrow(), options.output);
        continue;
      }
      rest_.append(buffer.data(), *count);
    }
    if (typing && ready[1].revents) {
      auto count = base::sys::read(options.input, buffer);
      typing = count && *count > 0;
      std::string out;
      if (typing && keys.pass(std::string_view(buffer.data(), *count), out)) {
        result.detached = true;
        return result;
      }
      bool ended = false;
      if (!out.empty()) {
        ASSIGN_OR_RETURN(ended, send(attach::Type::input, out));
      }
      if (!typing && !ended) {
        ASSIGN_OR_RETURN(ended, send(attach::Type::close_input, ""));
      }
      if (ended) return result;
    }
  }
}

}  // namespace engine::client
