#include "network/dns/message.h"

#include <charconv>

namespace network::dns {
namespace {

constexpr std::size_t name_bytes_max = 255;
constexpr std::size_t label_bytes_max = 63;

std::uint16_t read_u16(std::string_view bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<std::uint8_t>(bytes[at]) << 8 | static_cast<std::uint8_t>(bytes[at + 1]));
}
void put_u16(std::string& out, unsigned value) {
  out.push_back(static_cast<char>(value >> 8));
  out.push_back(static_cast<char>(value));
}
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

/// Reads an uncompressed name at `at` and moves past it. A pointer in a question could only point into itself.
bool read_name(std::string_view message, std::size_t& at, Query& query) {
  const auto start = at;
  while (at < message.size()) {
    const auto length = static_cast<std::uint8_t>(message[at++]);
    if (length == 0) return at - start <= name_bytes_max;
    if (length > label_bytes_max || at + length > message.size()) return false;
    if (!query.name.empty()) query.name.push_back('.');
    for (const char c : message.substr(at, length)) {
      if (c == '.' || static_cast<std::uint8_t>(c) <= ' ' || c == 127) query.plain_name = false;
      query.name.push_back(lower(c));
    }
    at += length;
  }
  return false;
}

/// Moves past any name, compressed or not.
bool skip_name(std::string_view message, std::size_t& at) {
  while (at < message.size()) {
    const auto length = static_cast<std::uint8_t>(message[at++]);
    if (length == 0) return true;
    if (length >= 0xc0) return ++at <= message.size();
    if (length > label_bytes_max) return false;
    at += length;
  }
  return false;
}

/// Looks for the OPT record among `count` additional records.
void read_edns(std::string_view message, std::size_t at, unsigned count, Query& query) {
  for (unsigned i = 0; i < count && i < 16; ++i) {
    if (!skip_name(message, at) || at + 10 > message.size()) return;
    const auto type = read_u16(message, at);
    const auto size = read_u16(message, at + 2);
    if (type == static_cast<std::uint16_t>(Type::opt)) {
      query.edns = true;
      query.udp_bytes = std::clamp<std::size_t>(size, plain_udp_bytes, edns_udp_bytes);
      return;
    }
    at += std::size_t{10} + read_u16(message, at + 8);
  }
}

void put_name(std::string& out, std::string_view name) {
  while (!name.empty()) {
    const auto label = name.substr(0, std::min(name.find('.'), label_bytes_max));
    out.push_back(static_cast<char>(label.size()));
    out.append(label);
    name.remove_prefix(label.size());
    if (name.starts_with('.')) name.remove_prefix(1);
  }
  out.push_back(0);
}

void put_record(std::string& out, Type type, std::uint32_t ttl_s, std::string_view data) {
  put_u16(out, 0xc00c);  // the name in the question
  put_u16(out, static_cast<unsigned>(type));
  put_u16(out, 1);
  put_u16(out, ttl_s >> 16);
  put_u16(out, ttl_s & 0xffff);
  put_u16(out, static_cast<unsigned>(data.size()));
  out.append(data);
}

void put_opt(std::string& out) {
  out.push_back(0);
  put_u16(out, static_cast<unsigned>(Type::opt));
  put_u16(out, edns_udp_bytes);
  out.append(6, '\0');  // extended code, version, flags, no options
}

std::string start_response(const Query& query, Code code, unsigned answers, bool truncated) {
  std::string out;
  out.reserve(plain_udp_bytes);
  put_u16(out, query.id);
  // QR, AA, TC, RD as asked, RA: RFC 1035 section 4.1.1.
  out.push_back(static_cast<char>(0x84 | (query.opcode << 3) | (truncated ? 2 : 0) | (query.recursion_desired ? 1 : 0)));
  out.push_back(static_cast<char>(0x80 | static_cast<unsigned>(code)));
  put_u16(out, query.question.empty() ? 0 : 1);
  put_u16(out, answers);
  put_u16(out, 0);
  put_u16(out, query.edns ? 1 : 0);
  out.append(query.question);
  return out;
}

}  // namespace

std::optional<Query> parse_query(std::string_view message) {
  if (message.size() < header_bytes || is_response(message)) return std::nullopt;
  Query out;
  out.id = read_u16(message, 0);
  out.opcode = static_cast<std::uint8_t>((static_cast<std::uint8_t>(message[2]) >> 3) & 15);
  out.recursion_desired = (message[2] & 1) != 0;
  if (read_u16(message, 4) != 1) return std::nullopt;
  std::size_t at = header_bytes;
  if (!read_name(message, at, out) || at + 4 > message.size()) return std::nullopt;
  out.type = read_u16(message, at);
  out.class_ = read_u16(message, at + 2);
  at += 4;
  out.question = message.substr(header_bytes, at - header_bytes);
  if (read_u16(message, 6) == 0 && read_u16(message, 8) == 0) read_edns(message, at, read_u16(message, 10), out);
  return out;
}

std::string build_response(const Query& query, const Answer& answer, std::size_t limit_bytes) {
  const auto count = static_cast<unsigned>(answer.addresses.size() + answer.names.size());
  auto out = start_response(query, answer.code, count, false);
  for (const auto& address : answer.addresses)
    put_record(out, address.is_v6() ? Type::aaaa : Type::a, answer.ttl_s, address.bytes());
  for (const auto& name : answer.names) {
    std::string data;
    put_name(data, name);
    put_record(out, Type::ptr, answer.ttl_s, data);
  }
  if (query.edns) put_opt(out);
  if (out.size() <= limit_bytes) return out;
  out = start_response(query, answer.code, 0, true);
  if (query.edns) put_opt(out);
  return out;
}

std::string format_error(std::string_view message) {
  if (message.size() < header_bytes || is_response(message)) return {};
  Query empty;
  empty.id = read_u16(message, 0);
  return start_response(empty, Code::format_error, 0, false);
}

std::optional<Address> reverse_address(std::string_view name) {
  constexpr std::string_view v4_zone = ".in-addr.arpa", v6_zone = ".ip6.arpa";
  std::array<std::uint8_t, 16> bytes{};
  if (name.ends_with(v4_zone)) {
    name.remove_suffix(v4_zone.size());
    for (std::size_t i = 4; i-- > 0;) {
      const auto label = name.substr(0, name.find('.'));
      const auto [end, bad] = std::from_chars(label.data(), label.data() + label.size(), bytes[i]);
      if (bad != std::errc{} || end != label.data() + label.size() || label.empty()) return std::nullopt;
      name.remove_prefix(std::min(name.size(), label.size() + 1));
    }
    if (!name.empty()) return std::nullopt;
    return Address::v4(std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3]);
  }
  if (!name.ends_with(v6_zone)) return std::nullopt;
  name.remove_suffix(v6_zone.size());
  if (name.size() != 63) return std::nullopt;  // 32 digits, 31 dots
  for (std::size_t i = 0; i < 32; ++i) {
    std::uint8_t digit = 0;
    const auto* at = name.data() + 2 * i;
    if (std::from_chars(at, at + 1, digit, 16).ptr != at + 1 || (i < 31 && at[1] != '.')) return std::nullopt;
    auto& byte = bytes[15 - i / 2];
    byte = static_cast<std::uint8_t>(i % 2 == 0 ? digit : byte | digit << 4);
  }
  return Address::v6(bytes);
}

std::uint16_t message_id(std::string_view message) { return read_u16(message, 0); }
void set_message_id(std::string& message, std::uint16_t id) {
  message[0] = static_cast<char>(id >> 8);
  message[1] = static_cast<char>(id);
}
Code response_code(std::string_view message) { return static_cast<Code>(message[3] & 15); }
bool is_response(std::string_view message) { return (message[2] & 0x80) != 0; }

bool answers_question(std::string_view response, std::string_view question) {
  // Some servers leave the question out of error answers.
  if (response.size() < header_bytes || !is_response(response)) return false;
  if (read_u16(response, 4) == 0) return response_code(response) != Code::no_error;
  const auto theirs = response.substr(header_bytes, question.size());
  return std::equal(theirs.begin(), theirs.end(), question.begin(), question.end(),
                    [](char a, char b) { return lower(a) == lower(b); });
}

}  // namespace network::dns
