#include "runtime/linux/sync.h"

#include <sys/socket.h>

#include "base/log.h"
#include "base/sys.h"
#include "runtime/linux/text.h"

namespace runtime {

using base::Result;

namespace {
constexpr std::size_t header_size = 1 + sizeof(std::int32_t);
constexpr std::size_t text_max = 32768;  // well below the socket's buffer; longer texts are cut
constexpr char separator = '\x1f';
constexpr std::string_view exit_mark = "exit:";
}  // namespace

Result<> SyncSocket::send(SyncType type, int code, std::string_view text, base::Fd with) const {
  std::string packet(header_size, '\0');
  packet[0] = static_cast<char>(type);
  const std::int32_t number = code;
  std::memcpy(packet.data() + 1, &number, sizeof number);
  packet += text.substr(0, text_max);
  const int fds[] = {with.number()};
  return base::sys::send_fds(fd_.borrow(), packet, std::span(fds, with.valid() ? 1 : 0));
}

Result<> SyncSocket::send_error(const base::Error& error, int code) const {
  std::string text{to_string(error.kind)};
  text += separator + std::to_string(error.number) + separator + error.message;
  for (const auto& context : error.context) text += separator + context;
  return send(SyncType::error, code, text);
}

Result<std::optional<SyncMessage>> SyncSocket::receive() const {
  ASSIGN_OR_RETURN(auto packet, base::sys::recv_fds(fd_.borrow()));
  if (packet.bytes.empty()) return std::optional<SyncMessage>();
  if (packet.bytes.size() < header_size) return base::make_error(base::ErrorKind::internal, "short message from init");
  SyncMessage message;
  message.type = static_cast<SyncType>(packet.bytes[0]);
  std::int32_t number = 0;
  std::memcpy(&number, packet.bytes.data() + 1, sizeof number);
  message.code = number;
  message.text = packet.bytes.substr(header_size);
  if (!packet.fds.empty()) message.fd = std::move(packet.fds.front());
  return std::optional<SyncMessage>(std::move(message));
}

Result<SyncMessage> SyncSocket::expect(SyncType type, SyncType other) const {
  while (true) {
    ASSIGN_OR_RETURN(auto message, receive());
    if (!message) return base::make_error(base::ErrorKind::internal, "the container's init ended unexpectedly");
    if (message->type == type || message->type == other) return std::move(*message);
    if (message->type == SyncType::error) return decode_error(*message);
    if (message->type == SyncType::log) {
      base::log::line(static_cast<base::log::Level>(message->code), "init", message->text);
      continue;
    }
    return base::make_error(base::ErrorKind::internal, "unexpected message from init");
  }
}

base::Error decode_error(const SyncMessage& message) {
  base::Error error;
  std::size_t part = 0;
  std::string_view rest = message.text;
  while (true) {
    const std::size_t end = rest.find(separator);
    const std::string_view word = rest.substr(0, end);
    if (part == 0)
      error.kind = base::error_kind_from(word);
    else if (part == 1)
      error.number = std::atoi(std::string(word).c_str());
    else if (part == 2)
      error.message = word;
    else
      error.context.emplace_back(word);
    ++part;
    if (end == std::string_view::npos) break;
    rest.remove_prefix(end + 1);
  }
  return message.code != 0 ? with_exit_code(std::move(error), message.code) : error;
}

base::Error with_exit_code(base::Error error, int code) {
  error.context.push_back(std::string(exit_mark) + std::to_string(code));
  return error;
}

int take_exit_code(base::Error& error, int fallback) {
  int code = fallback;
  std::erase_if(error.context, [&](const std::string& context) {
    if (!context.starts_with(exit_mark)) return false;
    code = std::atoi(context.c_str() + exit_mark.size());
    return true;
  });
  return code;
}

}  // namespace runtime
