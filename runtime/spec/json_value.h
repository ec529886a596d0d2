#pragma once
// JSON as it was parsed: a tree of views into the text. Made for config.json, which is read at every start: one pass, no allocation
// a value. (A general library's tree took a quarter of a start's user time and fifty pages of heap.)
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace runtime::spec {

/// One value. Its strings point into the text that was parsed, or into the JsonDocument where they held escapes.
class Json {
 public:
  enum class Kind : std::uint8_t { null, boolean, unsigned_integer, negative_integer, real, string, array, object };

  [[nodiscard]] Kind kind() const { return kind_; }
  [[nodiscard]] bool is(Kind kind) const { return kind_ == kind; }
  /// The name, where this is a member of an object.
  [[nodiscard]] std::string_view key() const { return {key_, key_size_}; }
  [[nodiscard]] std::string_view text() const { return kind_ == Kind::string ? std::string_view(data_.text, size_) : std::string_view(); }
  [[nodiscard]] bool boolean() const { return data_.number != 0; }
  /// Of integers: two's complement of a negative one. A number that fits neither int64 nor uint64 is `real`, as one with a fraction.
  [[nodiscard]] std::uint64_t number() const { return data_.number; }
  /// Elements of an array; members of an object sorted by key, each key once: the last of equal ones, as everywhere.
  [[nodiscard]] std::span<const Json> children() const {
    return kind_ == Kind::array || kind_ == Kind::object ? std::span(data_.children, size_) : std::span<const Json>();
  }
  /// The member of that name; a null pointer when there is none, or when this is no object.
  [[nodiscard]] const Json* find(std::string_view key) const;

 private:
  friend class JsonParser;
  const char* key_ = nullptr;
  union {
    std::uint64_t number = 0;
    const char* text;
    const Json* children;
  } data_;
  std::uint32_t key_size_ = 0, size_ = 0;
  Kind kind_ = Kind::null;
};

/// Owns the tree; the text must outlive it.
class JsonDocument {
 public:
  /// RFC 8259, UTF-8 checked, nothing after the value. Nothing when it is not that, nests deeper than 64 levels, or is larger than
  /// 4 GiB. Pure.
  static std::optional<JsonDocument> parse(std::string_view text);
  [[nodiscard]] const Json& root() const { return root_; }

 private:
  friend class JsonParser;
  Json root_;
  std::vector<std::unique_ptr<Json[]>> chunks_;
  std::deque<std::string> decoded_;
};

}  // namespace runtime::spec
