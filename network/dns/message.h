#pragma once
// DNS messages (RFC 1035, RFC 6891), as far as a stub server needs. Pure; every input is hostile.
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "network/address.h"

namespace network::dns {

enum class Type : std::uint16_t { a = 1, ptr = 12, aaaa = 28, opt = 41, any = 255 };
enum class Code : std::uint8_t { no_error = 0, format_error = 1, server_failure = 2, name_error = 3, not_implemented = 4, refused = 5 };

constexpr std::size_t header_bytes = 12;
constexpr std::size_t plain_udp_bytes = 512;   ///< RFC 1035: what every client takes
constexpr std::size_t edns_udp_bytes = 1232;   ///< what passes every path unfragmented (DNS flag day 2020)

struct Query {
  std::uint16_t id = 0;
  std::uint8_t opcode = 0;
  bool recursion_desired = false;
  std::string name;             ///< lower case, labels joined by '.', no final dot
  bool plain_name = true;       ///< false: a label holds a dot or a control character, so `name` is not to be looked up
  std::uint16_t type = 0, class_ = 0;
  std::string_view question;    ///< its bytes in the message, name in the client's spelling (RFC: copied to the answer)
  bool edns = false;
  std::size_t udp_bytes = plain_udp_bytes;  ///< what the client takes by UDP
};

/// A standard query with one question. Nothing for anything else: answer with format_error() or not at all.
/// `query.question` points into `message`.
std::optional<Query> parse_query(std::string_view message);

struct Answer {
  Code code = Code::no_error;
  std::vector<Address> addresses;      ///< A and AAAA records
  std::vector<std::string> names;      ///< PTR records, "web-1.demo_default"
  std::uint32_t ttl_s = 1;
};

/// The response; longer than `limit_bytes`, it comes without records and with the truncation bit, so that the client asks by TCP.
std::string build_response(const Query& query, const Answer& answer, std::size_t limit_bytes);

/// A response to a message that does not parse; "" when it is too short to answer or is a response itself.
std::string format_error(std::string_view message);

/// The address a reverse name asks for: "2.1.30.172.in-addr.arpa".
std::optional<Address> reverse_address(std::string_view name);

/// Of a message of at least header_bytes.
std::uint16_t message_id(std::string_view message);
void set_message_id(std::string& message, std::uint16_t id);
Code response_code(std::string_view message);
bool is_response(std::string_view message);
/// Whether `response` answers the question of `query`: same question bytes but for letter case. Guards against forgeries.
bool answers_question(std::string_view response, std::string_view query_question);

}  // namespace network::dns
