#pragma once
// Messages of nf_tables: how batches are put together, and the attributes in them. Internal to the room.
// Source: linux/netfilter/nf_tables.h, linux/netfilter/nfnetlink.h.
#include <cstdint>
#include <string>
#include <string_view>

struct nl_msg;
struct nlattr;

namespace network {

/// Messages one after the other in one buffer, each with a number of its own that its answer carries.
class NfWriter {
 public:
  explicit NfWriter(std::uint32_t sequence) : sequence_(sequence) {}
  NfWriter(const NfWriter&) = delete;
  NfWriter& operator=(const NfWriter&) = delete;
  ~NfWriter();

  /// `type` with its subsystem, `flags` as NLM_F_*, `resource` in host order.
  nl_msg* begin(int type, int flags, std::uint8_t family, std::uint16_t resource = 0);
  /// A message of nf_tables: NFT_MSG_*.
  nl_msg* table_message(int message, int flags, std::uint8_t family);
  void begin_batch();
  void end_batch();
  /// Ends the message begun last; nothing to do before bytes() after end_batch().
  void finish();

  [[nodiscard]] const std::string& bytes() const { return bytes_; }
  [[nodiscard]] std::uint32_t sequence() const { return sequence_; }

 private:
  std::uint32_t sequence_;
  nl_msg* current_ = nullptr;
  std::string bytes_;
};

void put(nl_msg* m, int type, std::string_view bytes);
void put_text(nl_msg* m, int type, const std::string& text);
void put_u32(nl_msg* m, int type, std::uint32_t value);
void put_u64(nl_msg* m, int type, std::uint64_t value);

/// In network order.
std::string u16_bytes(std::uint16_t value);
std::string u32_bytes(std::uint32_t value);

/// The same attributes as bytes, for what is nested. The flag NLA_F_NESTED is left out, as the kernel leaves it out of what it lists.
std::string attribute(int type, std::string_view bytes);
std::string attribute_u32(int type, std::uint32_t value);
std::string attribute_text(int type, const std::string& text);

std::string_view bytes_of(const nlattr* attribute);  ///< empty for nullptr
std::string text_of(const nlattr* attribute);
std::uint32_t u32_of(const nlattr* attribute);       ///< 0 for nullptr
std::uint64_t u64_of(const nlattr* attribute);

}  // namespace network
