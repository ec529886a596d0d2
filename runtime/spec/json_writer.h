#pragma once
// Compact JSON text, written front to back. Empty strings, empty lists and absent optionals are left out by member().
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace runtime::spec {

class JsonWriter {
 public:
  template <class Body>
  JsonWriter& object(std::string_view key, Body&& body) {
    open(key, '{');
    body();
    close('}');
    return *this;
  }
  /// A list of objects; left out when empty.
  template <class T, class Body>
  JsonWriter& list(std::string_view key, const std::vector<T>& items, Body&& body) {
    if (items.empty()) return *this;
    open(key, '[');
    for (const T& item : items) object("", [&] { body(item); });
    close(']');
    return *this;
  }
  /// An object of objects; left out when empty.
  template <class T, class Body>
  JsonWriter& entries(std::string_view key, const std::map<std::string, T>& items, Body&& body) {
    if (items.empty()) return *this;
    open(key, '{');
    for (const auto& [name, item] : items) object(name, [&] { body(item); });
    close('}');
    return *this;
  }
  /// Always written, even when empty.
  JsonWriter& strings(std::string_view key, const std::vector<std::string>& items) {
    open(key, '[');
    for (const auto& item : items) value(item);
    close(']');
    return *this;
  }
  JsonWriter& text(std::string_view key, std::string_view content) {
    name(key);
    quote(content);
    return *this;
  }
  JsonWriter& member(std::string_view key, const std::string& content) {
    return content.empty() ? *this : text(key, content);
  }
  JsonWriter& member(std::string_view key, const std::vector<std::string>& items) {
    return items.empty() ? *this : strings(key, items);
  }
  JsonWriter& member(std::string_view key, const std::vector<std::uint32_t>& items) {
    if (items.empty()) return *this;
    open(key, '[');
    for (const auto item : items) {
      comma();
      number(item);
    }
    close(']');
    return *this;
  }
  JsonWriter& member(std::string_view key, const std::map<std::string, std::string>& items) {
    if (items.empty()) return *this;
    open(key, '{');
    for (const auto& [item, content] : items) text(item, content);
    close('}');
    return *this;
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  JsonWriter& member(std::string_view key, T content) {
    name(key);
    if constexpr (std::is_same_v<T, bool>)
      out_ += content ? "true" : "false";
    else
      number(content);
    return *this;
  }
  template <class T>
  JsonWriter& member(std::string_view key, const std::optional<T>& content) {
    return content ? member(key, *content) : *this;
  }
  std::string take() { return std::move(out_); }

 private:
  void comma() {
    if (!out_.empty() && out_.back() != '{' && out_.back() != '[' && out_.back() != ':') out_ += ',';
  }
  void name(std::string_view key) {
    comma();
    if (key.empty()) return;
    quote(key);
    out_ += ':';
  }
  void value(std::string_view content) {
    comma();
    quote(content);
  }
  void open(std::string_view key, char bracket) {
    name(key);
    out_ += bracket;
  }
  void close(char bracket) { out_ += bracket; }
  template <class T>
  void number(T content) {
    char digits[24];
    const auto end = std::to_chars(digits, digits + sizeof digits, content).ptr;
    out_.append(digits, end);
  }
  void quote(std::string_view content) {
    static constexpr char hex[] = "0123456789abcdef";
    out_ += '"';
    for (const char c : content) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        out_ += '\\';
        out_ += c;
      } else if (c == '\n') {
        out_ += "\\n";
      } else if (byte < 0x20 || byte == 0x7f) {
        out_ += "\\u00";
        out_ += hex[byte >> 4];
        out_ += hex[byte & 15];
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }
  std::string out_;
};

}  // namespace runtime::spec
