#pragma once
// Reads typed members out of parsed JSON and remembers the first mistake with its place. For sources of runtime/spec only.
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "runtime/spec/json_value.h"
#include "runtime/spec/spec.h"

namespace runtime::spec {

/// Where a value stands; a chain of frames on the stack, turned into text only when something is wrong.
struct Place {
  const Place* parent = nullptr;
  std::string_view key;
  std::size_t index = 0;

  [[nodiscard]] std::string text() const {
    const std::string before = parent ? parent->text() : "";
    if (key.empty()) return parent ? before + "[" + std::to_string(index) + "]" : before;
    return before.empty() ? std::string(key) : before + "." + std::string(key);
  }
};

/// The first mistake wins: later ones are often its consequence.
struct Mistakes {
  std::optional<base::Error> first;
  void add(const Place& place, const std::string& what) {
    if (!first) first = base::make_error(base::ErrorKind::invalid, place.text() + ": " + what);
  }
};

/// One JSON object; every read() leaves its target alone when the member is absent or null.
class Object {
 public:
  Object(const Json& json, const Place& place, Mistakes& mistakes)
      : json_(json), place_(place), mistakes_(mistakes) {
    if (!json.is(Json::Kind::object)) mistakes.add(place, "expected an object");
  }

  template <class T>
  void read(std::string_view key, T& into) const {
    if (const Json* value = find(key)) convert(*value, Place{&place_, key, 0}, into);
  }
  /// Like read(), and a mistake when the member is absent.
  template <class T>
  void require(std::string_view key, T& into) const {
    if (!find(key)) mistakes_.add(Place{&place_, key, 0}, "missing");
    read(key, into);
  }
  /// Calls body(Object) for the member, if it is there.
  template <class Body>
  bool object(std::string_view key, Body&& body) const {
    const Json* value = find(key);
    if (!value) return false;
    const Place place{&place_, key, 0};
    body(Object(*value, place, mistakes_));
    return true;
  }
  /// Calls body(Object) for every element of an array of objects.
  template <class Body>
  void each(std::string_view key, Body&& body) const {
    const Json* value = find(key);
    if (!value) return;
    const Place place{&place_, key, 0};
    if (!value->is(Json::Kind::array)) return mistakes_.add(place, "expected a list");
    std::size_t index = 0;
    for (const Json& element : value->children()) {
      const Place at{&place, {}, index++};
      body(Object(element, at, mistakes_));
    }
  }
  /// Calls body(name, Object) for every member of an object of objects.
  template <class Body>
  void entries(std::string_view key, Body&& body) const {
    const Json* value = find(key);
    if (!value) return;
    const Place place{&place_, key, 0};
    if (!value->is(Json::Kind::object)) return mistakes_.add(place, "expected an object");
    for (const Json& element : value->children()) {
      const Place at{&place, element.key(), 0};
      body(std::string(element.key()), Object(element, at, mistakes_));
    }
  }
  [[nodiscard]] bool has(std::string_view key) const { return find(key) != nullptr; }
  void mistake(std::string_view key, const std::string& what) const {
    mistakes_.add(Place{&place_, key, 0}, what);
  }

 private:
  [[nodiscard]] const Json* find(std::string_view key) const {
    const Json* at = json_.find(key);
    return at && !at->is(Json::Kind::null) ? at : nullptr;
  }

  void convert(const Json& value, const Place& place, std::string& into) const {
    if (!value.is(Json::Kind::string)) return mistakes_.add(place, "expected a string");
    if (value.text().find('\0') != std::string_view::npos) return mistakes_.add(place, "holds a zero byte");
    into = value.text();
  }
  void convert(const Json& value, const Place& place, bool& into) const {
    if (!value.is(Json::Kind::boolean)) return mistakes_.add(place, "expected true or false");
    into = value.boolean();
  }
  template <class T>
    requires std::is_integral_v<T>
  void convert(const Json& value, const Place& place, T& into) const {
    const bool negative = value.is(Json::Kind::negative_integer);
    if (!negative && !value.is(Json::Kind::unsigned_integer)) return mistakes_.add(place, "expected an integer");
    const std::uint64_t number = value.number();
    const bool fits = negative ? std::in_range<T>(static_cast<std::int64_t>(number)) : std::in_range<T>(number);
    if (!fits) return mistakes_.add(place, "integer out of range");
    into = static_cast<T>(number);
  }
  template <class T>
  void convert(const Json& value, const Place& place, std::optional<T>& into) const {
    T read_value{};
    convert(value, place, read_value);
    into = std::move(read_value);
  }
  template <class T>
  void convert(const Json& value, const Place& place, std::vector<T>& into) const {
    if (!value.is(Json::Kind::array)) return mistakes_.add(place, "expected a list");
    into.clear();
    into.reserve(value.children().size());
    std::size_t index = 0;
    for (const Json& element : value.children()) {
      T item{};
      convert(element, Place{&place, {}, index++}, item);
      into.push_back(std::move(item));
    }
  }
  void convert(const Json& value, const Place& place, std::map<std::string, std::string>& into) const {
    if (!value.is(Json::Kind::object)) return mistakes_.add(place, "expected an object");
    for (const Json& element : value.children())
      convert(element, Place{&place, element.key(), 0}, into[std::string(element.key())]);
  }

  const Json& json_;
  const Place& place_;
  Mistakes& mistakes_;
};

/// config-linux.md; parse_linux.cpp.
void read_linux(const Object& from, Linux& into);
void read_resources(const Object& from, Resources& into);
void read_seccomp(const Object& from, Seccomp& into);
void read_id_maps(const Object& from, std::string_view key, std::vector<IdMap>& into);

}  // namespace runtime::spec
