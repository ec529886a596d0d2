// What comes from systemd's manager or the message bus: whatever the bytes, decoding ends with a message or an error, a message that was
// decoded can be encoded and decoded again, and a body can be read past its end.
#include <cstdlib>
#include <string_view>

#include "runtime/linux/dbus.h"

using runtime::dbus::Message;

namespace {

bool same(const Message& left, const Message& right) {
  return left.type == right.type && left.serial == right.serial && left.reply_serial == right.reply_serial && left.path == right.path &&
         left.interface == right.interface && left.member == right.member && left.error_name == right.error_name &&
         left.destination == right.destination && left.signature == right.signature && left.body == right.body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto length = runtime::dbus::message_size(bytes.substr(0, 16));
  if (length && *length > (2 << 20) + 32) std::abort();  // what Connection::receive would wait for
  const auto message = runtime::dbus::decode(bytes);
  if (message) {
    if (!length || *length != size) std::abort();
    const auto again = runtime::dbus::decode(runtime::dbus::encode(*message));
    if (!again || !same(*again, *message)) std::abort();
    runtime::dbus::Reader body(message->body);
    while (body.ok()) {
      (void)body.byte(), (void)body.text(), (void)body.signature(), (void)body.number64();
      body.align(8);
    }
    if (body.at() > message->body.size()) std::abort();
  }
  return 0;
}
