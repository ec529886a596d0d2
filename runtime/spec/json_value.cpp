#include "runtime/spec/json_value.h"

#include <algorithm>
#include <charconv>
#include <limits>

namespace runtime::spec {

const Json* Json::find(std::string_view key) const {
  if (kind_ != Kind::object) return nullptr;
  const auto all = children();
  const auto at = std::ranges::lower_bound(all, key, {}, &Json::key);
  return at != all.end() && at->key() == key ? &*at : nullptr;
}

/// Recursive descent. `pending_` holds the children of containers that are still open; when one closes, its own move to their
/// final place, side by side.
class JsonParser {
 public:
  JsonParser(std::string_view text, JsonDocument& document) : at_(text.data()), end_(at_ + text.size()), document_(document) {}

  bool document() {
    if (!value(document_.root_, 0)) return false;
    skip_blanks();
    return at_ == end_;
  }

 private:
  static constexpr int depth_max = 64;
  static constexpr std::size_t chunk_size = 128;

  void skip_blanks() {
    while (at_ != end_ && (*at_ == ' ' || *at_ == '\n' || *at_ == '\t' || *at_ == '\r')) ++at_;
  }
  bool take(char wanted) {
    skip_blanks();
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }
  bool word(std::string_view wanted) {
    if (static_cast<std::size_t>(end_ - at_) < wanted.size() || std::string_view(at_, wanted.size()) != wanted) return false;
    at_ += wanted.size();
    return true;
  }

  bool value(Json& into, int depth) {
    skip_blanks();
    if (at_ == end_) return false;
    switch (*at_) {
      case '{':
      case '[': return depth < depth_max && container(into, depth);
      case '"': {
        std::string_view text;
        if (!string(text)) return false;
        into.kind_ = Json::Kind::string;
        into.data_.text = text.data();
        into.size_ = static_cast<std::uint32_t>(text.size());
        return true;
      }
      case 't': into.data_.number = 1; into.kind_ = Json::Kind::boolean; return word("true");
      case 'f': into.kind_ = Json::Kind::boolean; return word("false");
      case 'n': return word("null");
      default: return number(into);
    }
  }

  bool container(Json& into, int depth) {
    const bool object = *at_++ == '{';
    const char close = object ? '}' : ']';
    const std::size_t first = pending_.size();
    if (!take(close)) {
      do {
        Json child;
        if (object) {
          std::string_view key;
          skip_blanks();
          if (at_ == end_ || *at_ != '"' || !string(key) || !take(':')) return false;
          child.key_ = key.data();
          child.key_size_ = static_cast<std::uint32_t>(key.size());
        }
        if (!value(child, depth + 1)) return false;
        pending_.push_back(child);
      } while (take(','));
      if (!take(close)) return false;
    }
    into.kind_ = object ? Json::Kind::object : Json::Kind::array;
    settle(into, first);
    return true;
  }

  void settle(Json& into, std::size_t first) {
    const auto begin = pending_.begin() + static_cast<std::ptrdiff_t>(first);
    auto end = pending_.end();
    if (into.kind_ == Json::Kind::object) {
      std::stable_sort(begin, end, [](const Json& left, const Json& right) { return left.key() < right.key(); });
      auto last = begin;  // where the next member that stays goes
      for (auto member = begin; member != end; ++member)
        if (member + 1 == end || (member + 1)->key() != member->key()) *last++ = *member;
      end = last;
    }
    into.size_ = static_cast<std::uint32_t>(end - begin);
    Json* place = room(into.size_);
    std::copy(begin, end, place);
    into.data_.children = place;
    pending_.resize(first);
  }

  Json* room(std::size_t count) {
    if (count > free_) {
      const std::size_t size = std::max(count, chunk_size);
      next_ = document_.chunks_.emplace_back(std::make_unique<Json[]>(size)).get();
      free_ = size;
    }
    free_ -= count;
    return std::exchange(next_, next_ + count);
  }

  bool number(Json& into) {
    const char* const start = at_;
    const bool negative = *at_ == '-';
    if (negative) ++at_;
    const char* const digits = at_;
    if (!skip_digits() || (*digits == '0' && at_ - digits > 1)) return false;
    bool whole = true;
    if (at_ != end_ && *at_ == '.') {
      whole = false;
      ++at_;
      if (!skip_digits()) return false;
    }
    if (at_ != end_ && (*at_ == 'e' || *at_ == 'E')) {
      whole = false;
      ++at_;
      if (at_ != end_ && (*at_ == '+' || *at_ == '-')) ++at_;
      if (!skip_digits()) return false;
    }
    into.kind_ = Json::Kind::real;
    if (!whole) return true;
    std::int64_t below = 0;
    const bool fits = negative ? std::from_chars(start, at_, below).ec == std::errc()
                               : std::from_chars(start, at_, into.data_.number).ec == std::errc();
    if (!fits) return true;
    into.kind_ = negative ? Json::Kind::negative_integer : Json::Kind::unsigned_integer;
    if (negative) into.data_.number = static_cast<std::uint64_t>(below);
    return true;
  }

  bool skip_digits() {
    const char* const start = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != start;
  }

  /// At the opening quote. Without escapes the view is the text itself.
  bool string(std::string_view& into) {
    const char* const start = ++at_;
    while (at_ != end_) {
      const auto byte = static_cast<unsigned char>(*at_);
      if (byte == '"') {
        into = {start, static_cast<std::size_t>(at_++ - start)};
        return true;
      }
      if (byte == '\\') return escaped(into, start);
      if (byte < 0x20 || (byte >= 0x80 && !multibyte()) || at_ == end_) return false;
      if (byte < 0x80) ++at_;
    }
    return false;
  }

  bool escaped(std::string_view& into, const char* start) {
    std::string& out = document_.decoded_.emplace_back(start, at_);
    while (at_ != end_) {
      const auto byte = static_cast<unsigned char>(*at_);
      const char* const here = at_;
      if (byte == '"') {
        ++at_;
        into = out;
        return true;
      }
      if (byte == '\\') {
        if (!escape(out)) return false;
        continue;
      }
      if (byte < 0x20 || (byte >= 0x80 && !multibyte())) return false;
      if (byte < 0x80) ++at_;
      out.append(here, at_);
    }
    return false;
  }

  bool escape(std::string& out) {
    static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    if (++at_ == end_) return false;
    const char letter = *at_++;
    if (const auto found = letters.find(letter); found != std::string_view::npos) {
      out += meanings[found];
      return true;
    }
    std::uint32_t unit = 0;
    if (letter != 'u' || !code_unit(unit)) return false;
    if (unit >= 0xDC00 && unit <= 0xDFFF) return false;
    if (unit >= 0xD800 && unit <= 0xDBFF) {
      std::uint32_t low = 0;
      if (!word("\\u") || !code_unit(low) || low < 0xDC00 || low > 0xDFFF) return false;
      unit = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
    }
    append_utf8(out, unit);
    return true;
  }

  bool code_unit(std::uint32_t& into) {
    if (end_ - at_ < 4) return false;
    const auto [stop, error] = std::from_chars(at_, at_ + 4, into, 16);
    if (error != std::errc() || stop != at_ + 4) return false;
    at_ += 4;
    return true;
  }

  static void append_utf8(std::string& out, std::uint32_t point) {
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((point >> shift) & 0x3F)); };
    if (point < 0x80) {
      out += static_cast<char>(point);
    } else if (point < 0x800) {
      out += static_cast<char>(0xC0 | (point >> 6));
      tail(0);
    } else if (point < 0x10000) {
      out += static_cast<char>(0xE0 | (point >> 12));
      tail(6), tail(0);
    } else {
      out += static_cast<char>(0xF0 | (point >> 18));
      tail(12), tail(6), tail(0);
    }
  }

  /// RFC 3629: no overlong forms, no surrogates, nothing above U+10FFFF.
  bool multibyte() {
    const auto lead = static_cast<unsigned char>(*at_);
    const int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : 1;
    if (lead < 0xC2 || lead > 0xF4 || end_ - at_ <= more) return false;
    const auto second = static_cast<unsigned char>(at_[1]);
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) || (lead == 0xF0 && second < 0x90) ||
        (lead == 0xF4 && second > 0x8F))
      return false;
    for (int next = 1; next <= more; ++next)
      if ((static_cast<unsigned char>(at_[next]) & 0xC0) != 0x80) return false;
    at_ += more + 1;
    return true;
  }

  const char* at_;
  const char* const end_;
  JsonDocument& document_;
  std::vector<Json> pending_;
  Json* next_ = nullptr;
  std::size_t free_ = 0;
};

std::optional<JsonDocument> JsonDocument::parse(std::string_view text) {
  std::optional<JsonDocument> document(std::in_place);
  if (text.size() > std::numeric_limits<std::uint32_t>::max() || !JsonParser(text, *document).document()) document.reset();
  return document;
}

}  // namespace runtime::spec
