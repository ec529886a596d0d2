#pragma once
// How one value becomes JSON and back: only for the *_json.cpp files of this room (it includes nlohmann's header).
// A struct lists its members once, in a fields() overload, for both directions.
#include <concepts>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "base/result.h"
#include "engine/api/outcome.h"
#include "engine/api/plan.h"
#include "engine/api/types.h"

namespace engine::codec {

using nlohmann::json;

template <class T, class U>
concept Is = std::same_as<std::remove_const_t<T>, U>;

/// Thrown inside the codec only; from_json() turns it into an Error.
struct Mismatch : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class E>
struct Words;  // specialised per enum: static constexpr array of words, in order

template <class T> json encode(const T& value);
template <class T> void decode(const json& from, T& value);

template <class T> struct IsOptional : std::false_type {};
template <class T> struct IsOptional<std::optional<T>> : std::true_type {};
template <class T> struct IsVector : std::false_type {};
template <class T> struct IsVector<std::vector<T>> : std::true_type {};
template <class T> struct IsMap : std::false_type {};
template <class T> struct IsMap<std::map<std::string, T>> : std::true_type {};

/// Adds members that differ from the default.
struct Writer {
  json& object;
  template <class T>
  void operator()(const char* key, const T& value, const T& default_value) {
    if constexpr (IsOptional<T>::value) {
      if (value) object[key] = encode(*value);
    } else if constexpr (IsVector<T>::value || IsMap<T>::value) {
      if (!value.empty()) object[key] = encode(value);
    } else if constexpr (std::is_arithmetic_v<T> || std::is_enum_v<T> || std::is_same_v<T, std::string> ||
                         std::is_same_v<T, Nanoseconds>) {
      if (value != default_value) object[key] = encode(value);
    } else {
      json part = encode(value);
      if (!part.empty()) object[key] = std::move(part);
    }
  }
};

/// Fills members that are there.
struct Reader {
  const json& object;
  template <class T>
  void operator()(const char* key, T& value, const T&) {
    const auto found = object.find(key);
    if (found == object.end() || found->is_null()) return;
    try {
      decode(*found, value);
    } catch (const Mismatch& mismatch) {
      throw Mismatch(std::string(key) + (mismatch.what()[0] == '[' ? "" : ".") + mismatch.what());
    } catch (const std::exception& wrong) {
      throw Mismatch(std::string(key) + ": " + wrong.what());
    }
  }
};

// clang-format off
#define CODEC_FIELDS(Type, body)                                                     \
  template <class V, class T> requires Is<T, Type>                                   \
  void fields(V& v, T& x) { static const Type d{}; body }
#define F(member) v(#member, x.member, d.member);
// clang-format on

template <class T>
concept HasFields = requires(Writer& writer, const T& value) { fields(writer, value); };

template <class T>
json encode_fields(const T& value) {
  json object = json::object();
  Writer writer{object};
  fields(writer, value);
  return object;
}

template <class T>
json encode(const T& value) {
  if constexpr (std::is_same_v<T, std::string> || std::is_arithmetic_v<T>) {
    return value;
  } else if constexpr (std::is_enum_v<T>) {
    return Words<T>::words[static_cast<std::size_t>(value)];
  } else if constexpr (std::is_same_v<T, Nanoseconds>) {
    return value.count();
  } else if constexpr (IsVector<T>::value) {
    json list = json::array();
    for (const auto& item : value) list.push_back(encode(item));
    return list;
  } else if constexpr (IsMap<T>::value) {
    json map = json::object();
    for (const auto& [key, item] : value) map[key] = encode(item);
    return map;
  } else {
    return encode_fields(value);
  }
}

template <class T>
void decode_number(const json& from, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    if (!from.is_boolean()) throw std::invalid_argument("not a boolean");
    value = from.get<bool>();
  } else {
    if (!from.is_number_integer()) throw std::invalid_argument("not a whole number");
    const bool fits = from.is_number_unsigned() ? std::in_range<T>(from.get<std::uint64_t>())
                                                : std::in_range<T>(from.get<std::int64_t>());
    if (!fits) throw std::invalid_argument("number out of range");
    value = from.get<T>();
  }
}

template <class E>
void decode_enum(const json& from, E& value) {
  if (!from.is_string()) throw std::invalid_argument("not a word");
  const auto& word = from.get_ref<const std::string&>();
  for (std::size_t i = 0; i < Words<E>::words.size(); ++i) {
    if (word != Words<E>::words[i]) continue;
    value = static_cast<E>(i);
    return;
  }
  throw std::invalid_argument("unknown word '" + word + "'");
}

template <class T>
void decode_list(const json& from, std::vector<T>& value) {
  if (!from.is_array()) throw std::invalid_argument("not a list");
  value.clear();
  value.reserve(from.size());
  for (std::size_t i = 0; i < from.size(); ++i) {
    try {
      decode(from[i], value.emplace_back());
    } catch (const Mismatch& mismatch) {
      throw Mismatch("[" + std::to_string(i) + "]." + mismatch.what());
    } catch (const std::exception& wrong) {
      throw Mismatch("[" + std::to_string(i) + "]: " + wrong.what());
    }
  }
}

template <class T>
void decode(const json& from, T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    if (!from.is_string()) throw std::invalid_argument("not a string");
    value = from.get_ref<const std::string&>();
  } else if constexpr (std::is_enum_v<T>) {
    decode_enum(from, value);
  } else if constexpr (std::is_arithmetic_v<T>) {
    decode_number(from, value);
  } else if constexpr (std::is_same_v<T, Nanoseconds>) {
    std::int64_t count = 0;
    decode_number(from, count);
    value = Nanoseconds(count);
  } else if constexpr (IsOptional<T>::value) {
    decode(from, value.emplace());
  } else if constexpr (IsVector<T>::value) {
    decode_list(from, value);
  } else if constexpr (IsMap<T>::value) {
    if (!from.is_object()) throw std::invalid_argument("not a map");
    value.clear();
    for (const auto& [key, item] : from.items()) decode(item, value[key]);
  } else {
    if (!from.is_object()) throw std::invalid_argument("not an object");
    Reader reader{from};
    fields(reader, value);
  }
}

inline std::string text(const json& value) {
  return value.dump(-1, ' ', false, json::error_handler_t::replace);
}

template <class T>
base::Result<T> parse(std::string_view source, const char* what) {
  if constexpr (IsVector<T>::value || IsMap<T>::value)
    if (source.empty()) return T{};
  try {
    T value{};
    decode(json::parse(source), value);
    return value;
  } catch (const std::exception& wrong) {
    return base::make_error(base::ErrorKind::invalid, std::string(what) + ": " + wrong.what());
  }
}

}  // namespace engine::codec
