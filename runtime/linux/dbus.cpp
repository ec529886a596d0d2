#include "runtime/linux/dbus.h"

#include <poll.h>
#include <unistd.h>

#include <cstring>

#include "base/sys.h"

namespace runtime::dbus {

using base::ErrorKind;
using base::Result;
namespace sys = base::sys;

namespace {

constexpr std::size_t line_max = 4096;
constexpr std::size_t size_max = 1 << 20;  // replies of the manager are some hundred bytes

/// Header fields: the D-Bus Specification, "Header Fields".
enum Field : std::uint8_t { path = 1, interface = 2, member = 3, error_name = 4, reply_serial = 5, destination = 6, sender = 7, signature = 8 };

template <class T>
void append_number(std::string& out, T value) {
  for (std::size_t at = 0; at < sizeof value; ++at) out += static_cast<char>(value >> (8 * at) & 0xff);
}

}  // namespace

Writer& Writer::byte(std::uint8_t value) {
  bytes_ += static_cast<char>(value);
  return *this;
}
Writer& Writer::align(std::size_t to) {
  bytes_.resize((bytes_.size() + to - 1) / to * to);
  return *this;
}
Writer& Writer::number32(std::uint32_t value) {
  align(4);
  append_number(bytes_, value);
  return *this;
}
Writer& Writer::number64(std::uint64_t value) {
  align(8);
  append_number(bytes_, value);
  return *this;
}
Writer& Writer::text(std::string_view value) {
  number32(static_cast<std::uint32_t>(value.size()));
  bytes_.append(value) += '\0';
  return *this;
}
Writer& Writer::signature(std::string_view value) {
  byte(static_cast<std::uint8_t>(value.size()));
  bytes_.append(value) += '\0';
  return *this;
}
Writer& Writer::array(std::size_t element, const std::function<void(Writer&)>& body) {
  number32(0);
  const std::size_t length_at = bytes_.size() - 4;
  align(element);  // not counted in the length
  const std::size_t start = bytes_.size();
  body(*this);
  std::string length;
  append_number(length, static_cast<std::uint32_t>(bytes_.size() - start));
  bytes_.replace(length_at, 4, length);
  return *this;
}

std::string_view Reader::take(std::size_t count) {
  if (!ok_ || count > bytes_.size() - at_) {
    ok_ = false;
    return {};
  }
  at_ += count;
  return bytes_.substr(at_ - count, count);
}
void Reader::align(std::size_t to) { (void)take((to - at_ % to) % to); }
std::uint8_t Reader::byte() {
  const auto bytes = take(1);
  return bytes.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(bytes[0]);
}
std::uint32_t Reader::number32() {
  align(4);
  std::uint32_t value = 0;
  const auto bytes = take(4);
  for (std::size_t at = 0; at < bytes.size(); ++at) value |= static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[at])) << (8 * at);
  return value;
}
std::uint64_t Reader::number64() {
  align(8);
  const std::uint64_t low = number32();
  return low | static_cast<std::uint64_t>(number32()) << 32;
}
std::string Reader::text() {
  const std::size_t size = number32();
  const std::string out(take(size));
  (void)take(1);
  return ok_ ? out : std::string();
}
std::string Reader::signature() {
  const std::size_t size = byte();
  const std::string out(take(size));
  (void)take(1);
  return ok_ ? out : std::string();
}

std::string encode(const Message& message) {
  Writer out;
  out.byte('l').byte(static_cast<std::uint8_t>(message.type)).byte(0).byte(1);
  out.number32(static_cast<std::uint32_t>(message.body.size())).number32(message.serial);
  out.array(8, [&](Writer& fields) {
    const auto text = [&](Field field, const char* type, const std::string& value) {
      if (value.empty()) return;
      fields.align(8).byte(field).signature(type);
      if (*type == 'g') fields.signature(value);
      else fields.text(value);
    };
    text(Field::path, "o", message.path);
    text(Field::interface, "s", message.interface);
    text(Field::member, "s", message.member);
    text(Field::error_name, "s", message.error_name);
    if (message.reply_serial != 0) fields.align(8).byte(Field::reply_serial).signature("u").number32(message.reply_serial);
    text(Field::destination, "s", message.destination);
    text(Field::signature, "g", message.signature);
  });
  out.align(8);
  return out.bytes() + message.body;
}

Result<std::size_t> message_size(std::string_view start) {
  Reader in(start);
  const std::uint8_t order = in.byte();
  (void)in.byte(), (void)in.byte(), (void)in.byte();
  const std::size_t body = in.number32();
  (void)in.number32();
  const std::size_t fields = in.number32();
  if (!in.ok() || order != 'l' || body > size_max || fields > size_max)
    return base::make_error(ErrorKind::invalid, "D-Bus: a message that can't be read");
  return 16 + (fields + 7) / 8 * 8 + body;
}

Result<Message> decode(std::string_view bytes) {
  ASSIGN_OR_RETURN(const std::size_t size, message_size(bytes.substr(0, 16)));
  if (size != bytes.size()) return base::make_error(ErrorKind::invalid, "D-Bus: a message of another length");
  Reader in(bytes);
  Message out;
  (void)in.byte();
  out.type = static_cast<Type>(in.byte());
  (void)in.byte(), (void)in.byte();
  const std::size_t body = in.number32();
  out.serial = in.number32();
  const std::size_t end = in.number32() + std::size_t{16};
  while (in.ok() && in.at() < end) {
    in.align(8);
    const std::uint8_t field = in.byte();
    const std::string type = in.signature();
    const std::string text = type == "s" || type == "o" ? in.text() : type == "g" ? in.signature() : std::string();
    const std::uint32_t number = type == "u" ? in.number32() : 0;
    if (type != "s" && type != "o" && type != "g" && type != "u") break;  // none of those we asked for
    switch (field) {
      case Field::path: out.path = text; break;
      case Field::interface: out.interface = text; break;
      case Field::member: out.member = text; break;
      case Field::error_name: out.error_name = text; break;
      case Field::reply_serial: out.reply_serial = number; break;
      case Field::destination: out.destination = text; break;
      case Field::signature: out.signature = text; break;
      default: break;
    }
  }
  if (!in.ok()) return base::make_error(ErrorKind::invalid, "D-Bus: a damaged message");
  out.body = bytes.substr(size - body);
  return out;
}

Result<Connection> Connection::open(const std::string& socket_path, bool bus) {
  ASSIGN_OR_RETURN(auto socket, sys::connect_unix(socket_path));
  Connection out(std::move(socket), bus);
  TRY(out.authenticate().with(socket_path));
  if (bus) {
    Message hello{.path = "/org/freedesktop/DBus", .interface = "org.freedesktop.DBus", .member = "Hello",
                  .destination = "org.freedesktop.DBus"};
    TRY(out.call(std::move(hello), std::chrono::steady_clock::now() + std::chrono::seconds(25)).with(socket_path));
  }
  return out;
}

/// SASL EXTERNAL: the kernel tells the other side who we are.
Result<> Connection::authenticate() {
  std::string hex;
  for (const char digit : std::to_string(::geteuid())) {
    hex += '3';
    hex += digit;
  }
  TRY(sys::write_all(socket_.borrow(), std::string("\0AUTH EXTERNAL ", 15) + hex + "\r\n"));
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(25);
  while (buffer_.find("\r\n") == std::string::npos) {
    if (buffer_.size() > line_max) return base::make_error(ErrorKind::invalid, "D-Bus: an answer without an end");
    TRY(fill(buffer_.size() + 1, deadline));
  }
  if (!buffer_.starts_with("OK ")) return base::make_error(ErrorKind::permission, "D-Bus: not admitted");
  buffer_.erase(0, buffer_.find("\r\n") + 2);
  return sys::write_all(socket_.borrow(), "BEGIN\r\n");
}

Result<> Connection::fill(std::size_t count, std::chrono::steady_clock::time_point deadline) {
  while (buffer_.size() < count) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()).count();
    pollfd wait{.fd = socket_.number(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left, 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return base::make_error(ErrorKind::timeout, "D-Bus: no answer in time");
    std::array<char, 4096> chunk;
    ASSIGN_OR_RETURN(const std::size_t got, sys::read(socket_.borrow(), chunk));
    if (got == 0) return base::make_error(ErrorKind::internal, "D-Bus: the connection was closed");
    buffer_.append(chunk.data(), got);
  }
  return {};
}

Result<Message> Connection::receive(std::chrono::steady_clock::time_point deadline) {
  TRY(fill(16, deadline));
  ASSIGN_OR_RETURN(const std::size_t size, message_size(std::string_view(buffer_).substr(0, 16)));
  TRY(fill(size, deadline));
  auto message = decode(std::string_view(buffer_).substr(0, size));
  buffer_.erase(0, size);
  return message;
}

Result<Message> Connection::call(Message message, std::chrono::steady_clock::time_point deadline) {
  message.serial = ++serial_;
  TRY(sys::write_all(socket_.borrow(), encode(message)));
  while (true) {
    ASSIGN_OR_RETURN(auto answer, receive(deadline));
    if (answer.type == Type::signal) signals_.push_back(std::move(answer));
    else if (answer.reply_serial != message.serial) continue;
    else if (answer.type == Type::reply) return answer;
    else return base::make_error(ErrorKind::internal, message.member + ": " + Reader(answer.body).text() + " (" + answer.error_name + ")");
  }
}

Result<Message> Connection::wait_for(const std::function<bool(const Message&)>& fits, std::chrono::steady_clock::time_point deadline) {
  for (const auto& message : signals_)
    if (fits(message)) return message;
  while (true) {
    ASSIGN_OR_RETURN(auto message, receive(deadline));
    if (message.type == Type::signal && fits(message)) return message;
  }
}

}  // namespace runtime::dbus
