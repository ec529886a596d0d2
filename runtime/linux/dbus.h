#pragma once
// As much of the D-Bus protocol as a call to systemd's manager needs: one connection, one call at a time.
// libsystemd is a shared library only in Debian, and this program is static; the wire format is small and fixed.
// Source: the D-Bus Specification, "Message Protocol" and "Authentication Protocol".
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/unique_fd.h"

namespace runtime::dbus {

/// A message body in the making, little-endian, aligned from its own start.
class Writer {
 public:
  Writer& byte(std::uint8_t value);
  Writer& boolean(bool value) { return number32(value ? 1 : 0); }
  Writer& number32(std::uint32_t value);
  Writer& number64(std::uint64_t value);
  /// Also for object paths.
  Writer& text(std::string_view value);
  Writer& signature(std::string_view value);
  /// Structs and dictionary entries begin at a multiple of 8.
  Writer& align(std::size_t to);
  /// An array: its length is filled in when `body` has written the elements, whose alignment is `element`.
  Writer& array(std::size_t element, const std::function<void(Writer&)>& body);
  [[nodiscard]] const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

/// Reads a body; after the first value that is not there ok() is false and everything reads as empty.
class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}
  std::uint8_t byte();
  std::uint32_t number32();
  std::uint64_t number64();
  std::string text();
  std::string signature();
  void align(std::size_t to);
  [[nodiscard]] bool ok() const { return ok_; }
  [[nodiscard]] std::size_t at() const { return at_; }

 private:
  std::string_view take(std::size_t count);
  std::string_view bytes_;
  std::size_t at_ = 0;
  bool ok_ = true;
};

enum class Type : std::uint8_t { call = 1, reply = 2, error = 3, signal = 4 };

struct Message {
  Type type = Type::call;
  std::uint32_t serial = 0, reply_serial = 0;
  std::string path, interface, member, error_name, destination, signature, body;
};

std::string encode(const Message& message);
/// How many bytes the message that starts with these 16 has; error invalid for what is no message of ours to read.
base::Result<std::size_t> message_size(std::string_view start);
base::Result<Message> decode(std::string_view bytes);

class Connection {
 public:
  /// `bus`: through a message bus, which gives us a name first; else directly to the manager.
  static base::Result<Connection> open(const std::string& socket_path, bool bus);

  /// Sends it and waits for its reply. An error reply becomes an Error with its text.
  base::Result<Message> call(Message message, std::chrono::steady_clock::time_point deadline);
  /// Waits for a signal that fits; those that came while a call waited are looked at first.
  base::Result<Message> wait_for(const std::function<bool(const Message&)>& fits, std::chrono::steady_clock::time_point deadline);
  [[nodiscard]] bool bus() const { return bus_; }

 private:
  Connection(base::UniqueFd socket, bool bus) : socket_(std::move(socket)), bus_(bus) {}
  base::Result<> authenticate();
  base::Result<> fill(std::size_t count, std::chrono::steady_clock::time_point deadline);
  base::Result<Message> receive(std::chrono::steady_clock::time_point deadline);
  base::UniqueFd socket_;
  std::string buffer_;
  std::vector<Message> signals_;
  std::uint32_t serial_ = 0;
  bool bus_ = false;
};

}  // namespace runtime::dbus
