#include "compose/load/typed.h"

#include <algorithm>
#include <cmath>

#include "compose/load/merge.h"
#include "compose/load/shorts.h"
#include "compose/load/units.h"

namespace compose::load {

bool is_blank(const Node& node) {
  switch (node.kind) {
    case Kind::null: return true;
    case Kind::boolean: return !node.boolean;
    case Kind::integer: return node.integer == 0;
    case Kind::real: return node.number == 0;
    case Kind::string: return node.text.empty();
    case Kind::sequence: return node.items.empty();
    case Kind::mapping: return node.entries.empty();
  }
  return true;
}

namespace {

bool kept_when_blank(Form form) {
  switch (form) {
    case Form::any:
    case Form::boolean_kept:
    case Form::integer_kept:
    case Form::duration:
    case Form::words:
    case Form::mode:
    case Form::ulimit:
    case Form::object: return true;
    default: return false;
  }
}

void sort_keys(Node& map) {
  std::sort(map.entries.begin(), map.entries.end(), [](const Entry& a, const Entry& b) { return a.key < b.key; });
}

class Typing {
 public:
  explicit Typing(Context& context) : context_(context) {}

  Node convert(const Node& node, const Rule& rule, const Path& path) {
    switch (rule.form) {
      case Form::any:
      case Form::dropped: return node;
      case Form::text:
        if (node.kind == Kind::real) unreadable(node, path, "a string or a whole number");
        return text(node);
      case Form::boolean:
      case Form::boolean_kept: return boolean(node, path);
      case Form::integer:
      case Form::integer_kept:
        if (node.is_string() && (rule.format == "number" || rule.format == "mode"))
          unreadable(node, path, "a number: write it without quotes");
        return integer(node, path, rule);
      case Form::cpus:
        if (node.exact) unreadable(node, path, "a number of 63 bits");
        return real(node, path);
      case Form::real:
      case Form::real32: return real(node, path);
      case Form::duration: return duration(node, path);
      case Form::bytes: return bytes(node, path);
      case Form::texts: return texts(node, path, rule);
      case Form::words: return words(node, path);
      case Form::health_test: return health_test(node);
      case Form::labels:
      case Form::strings_map: return strings_map(node, path, rule);
      case Form::environment: return environment(node, path, rule.form);
      case Form::hosts: return hosts(node, path);
      case Form::mode: return mode(node, path);
      case Form::count: return count(node, path);
      case Form::ulimit: return ulimit(node, rule, path);
      case Form::ssh: return ssh(node);
      case Form::env_files: return env_files(node);
      case Form::lists_map: return lists_map(node, path);
      case Form::object:
      case Form::object_filled: return object(node, rule, path);
      case Form::map: return map(node, rule, path);
      case Form::list: return list(node, rule, path);
    }
    return node;
  }

 private:
  void unreadable(const Node& node, const Path& path, std::string_view what) {
    context_.error(node.at, path, "'" + scalar_text(node) + "' is not " + std::string(what));
  }

  Node object(const Node& node, const Rule& rule, const Path& path) {
    if (!node.is_mapping() || rule.object == nullptr) return node;
    Node out = Node::make_mapping(node.at);
    out.entries.reserve(node.entries.size());
    for (const Rule& row : rule.object->attributes) {
      if (row.form == Form::dropped) continue;
      const auto found = std::find_if(node.entries.begin(), node.entries.end(), [&](const Entry& e) { return e.key == row.key; });
      const bool absent = found == node.entries.end() || found->value.is_null();
      if (absent && !row.always) continue;
      Node value = absent ? Node::make_null(node.at) : convert(found->value, row, Path(path, row.key));
      if (row.always && is_blank(value)) {
        value = row.form == Form::integer ? Node::make_integer(0) : Node::make_string(row.form == Form::bytes ? "0" : "");
        out.entries.push_back(Entry{std::string(row.key), node.at, std::move(value)});
        continue;
      }
      // A host without an address leaves an empty list.
      const bool nameless = row.form == Form::hosts && !found->value.entries.empty();
      if (is_blank(value) && !kept_when_blank(row.form) && !nameless) continue;
      if (value.is_null()) continue;
      out.entries.push_back(Entry{found->key, found->key_at, std::move(value)});
    }
    const std::size_t fixed = out.entries.size();
    for (const Entry& entry : node.entries)
      if (is_extension(entry.key) && rule.object->extensions_kept) out.entries.push_back(entry);
    std::sort(out.entries.begin() + static_cast<std::ptrdiff_t>(fixed), out.entries.end(),
              [](const Entry& a, const Entry& b) { return a.key < b.key; });
    return out;
  }

  Node map(const Node& node, const Rule& rule, const Path& path) {
    if (!node.is_mapping() || rule.value == nullptr) return node;
    Node out = Node::make_mapping(node.at);
    out.entries.reserve(node.entries.size());
    for (const Entry& entry : node.entries)
      out.entries.push_back(Entry{entry.key, entry.key_at, convert(entry.value, *rule.value, Path(path, entry.key))});
    sort_keys(out);
    return out;
  }

  Node list(const Node& node, const Rule& rule, const Path& path) {
    if (!node.is_sequence() || rule.item == nullptr) return node;
    Node out = Node::make_sequence(node.at);
    out.items.reserve(node.items.size());
    for (std::size_t i = 0; i < node.items.size(); ++i)
      out.items.push_back(convert(node.items[i], *rule.item, Path(path, i)));
    return out;
  }

  static Node text(const Node& node) {
    if (node.is_string() || !node.is_scalar()) return node;
    return Node::make_string(scalar_text(node), node.at);
  }

  Node boolean(const Node& node, const Path& path) {
    if (!node.is_string()) return node;
    std::string lower;
    for (const char c : node.text) lower += (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    const bool truth = lower == "true" || lower == "y" || lower == "yes" || lower == "on";
    if (!truth && lower != "false" && lower != "n" && lower != "no" && lower != "off") {
      unreadable(node, path, "a boolean");
    } else if (lower != "true" && lower != "false") {
      context_.warn(node.at, "\"" + node.text + "\" for boolean is not supported by YAML 1.2, please use `" +
                                 (truth ? "true" : "false") + "`");
    }
    return Node::make_boolean(truth, node.at);
  }

  Node integer(const Node& node, const Path& path) {
    static constexpr Rule plain{.key = ""};
    return integer(node, path, plain);
  }

  Node integer(const Node& node, const Path& path, const Rule& rule) {
    const bool is_unsigned = !rule.format.empty() && rule.format != "not_negative" && rule.format != "oom_score";
    Node result = node;
    if (node.kind == Kind::real) {
      const auto whole = node.exact ? static_cast<std::int64_t>(std::stoull(node.text)) : truncate(node.number);
      // Unsigned numbers of 2^63 and more stay as their digits.
      if (is_unsigned && rule.bits == 64 && whole < 0 && !(node.number < 0)) return large(whole, node.at);
      result = Node::make_integer(whole, node.at);
    } else if (node.is_string()) {
      const auto value = parse_int(node.text);
      if (!value) unreadable(node, path, "an integer");
      result = Node::make_integer(value.value_or(0), node.at);
    }
    if (!is_unsigned || result.kind != Kind::integer) return result;
    if (result.integer < 0 && (node.kind != Kind::real || node.number < 0)) unreadable(node, path, "zero or more");
    if (rule.bits < 64) result.integer &= (std::int64_t{1} << rule.bits) - 1;
    return result;
  }

  static Node large(std::int64_t bits, Position at) {
    Node node = Node::make_real(static_cast<double>(static_cast<std::uint64_t>(bits)), at);
    node.text = std::to_string(static_cast<std::uint64_t>(bits));
    node.exact = true;
    return node;
  }

  Node real(const Node& node, const Path& path) {
    if (node.kind == Kind::integer) return Node::make_real(static_cast<double>(node.integer), node.at);
    if (node.exact) return Node::make_real(node.number, node.at);
    if (!node.is_string()) return node;
    const auto value = parse_double(node.text);
    if (!value) unreadable(node, path, "a number");
    return Node::make_real(value.value_or(0), node.at);
  }

  Node duration(const Node& node, const Path& path) {
    if (!node.is_string()) return node;
    const auto value = parse_duration(node.text);
    if (!value) {
      context_.error(node.at, path, "'" + node.text + "' is not a duration", "write 1h30m, 10s or 500ms");
      return node;
    }
    return Node::make_string(format_duration(*value), node.at);
  }

  Node bytes(const Node& node, const Path& path) {
    if (node.kind == Kind::real) return Node::make_string("", node.at);  // Docker Compose reads no fractions here
    std::optional<std::int64_t> value;
    if (node.kind == Kind::integer) value = node.integer;
    if (node.is_string()) value = parse_bytes(node.text);
    if (!value) {
      context_.error(node.at, path, "'" + scalar_text(node) + "' is not a size", "write 512m, 1g or a number of bytes");
      return node;
    }
    return Node::make_string(*value == 0 ? "" : std::to_string(*value), node.at);
  }

  static Node texts(const Node& node) {
    Node out = node.is_string() || !node.is_scalar() ? as_sequence(node) : Node::make_sequence(node.at);
    if (node.is_scalar() && !node.is_string() && !node.is_null()) out.items.push_back(node);
    for (Node& item : out.items) item = text(item);
    return out;
  }

  /// Lists of strings and numbers take whole numbers only; options of a provider are text whatever they are.
  Node texts(const Node& node, const Path& path, const Rule& rule) {
    if (rule.item != nullptr && rule.item->accepts == (string_ | number_))
      for (std::size_t i = 0; i < node.items.size(); ++i)
        if (node.items[i].kind == Kind::real) unreadable(node.items[i], Path(path, i), "a string or a whole number");
    return texts(node);
  }

  Node words(const Node& node, const Path& path) {
    if (!node.is_string()) return texts(node);
    const auto split = split_words(node.text);
    if (!split) context_.error(node.at, path, "a quote, parenthesis or backslash is left open in the command line");
    Node out = Node::make_sequence(node.at);
    if (split)
      for (const std::string& word : *split) out.items.push_back(Node::make_string(word, node.at));
    return out;
  }

  static Node health_test(const Node& node) {
    if (!node.is_string()) return texts(node);
    Node out = Node::make_sequence(node.at);
    out.items.push_back(Node::make_string("CMD-SHELL", node.at));
    out.items.push_back(node);
    return out;
  }

  Node strings_map(const Node& node, const Path& path, const Rule& rule) {
    Node out = environment(node, path, rule.form);
    for (Entry& entry : out.entries) {
      if (entry.value.is_null()) entry.value = Node::make_string("", entry.key_at);
      // Without a rule for the values nothing has looked at their types yet (storage_opt).
      const Node* written = rule.value == nullptr ? node.find(entry.key) : nullptr;
      if (written != nullptr && (written->kind == Kind::boolean || written->kind == Kind::real))
        context_.error(entry.value.at, Path(path, entry.key),
                       "expected a string or a whole number, found " + std::string(kind_name(written->kind)));
    }
    return out;
  }

  Node environment(const Node& node, const Path& path, Form form) {
    Node out = Node::make_mapping(node.at);
    for (const Entry& entry : node.entries) {
      if (!entry.value.is_scalar()) {
        context_.error(entry.value.at, Path(path, entry.key),
                       "expected a string or a number, found " + std::string(kind_name(entry.value.kind)));
        continue;
      }
      out.entries.push_back(Entry{entry.key, entry.key_at, entry.value.is_null() ? entry.value : text(entry.value)});
    }
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      const std::string whole = scalar_text(item);
      const auto equals = whole.find('=');
      const auto last = std::string_view(whole).substr(0, equals);
      if (form == Form::environment && !last.empty() && (last.back() == ' ' || last.back() == '\t' || last.back() == '\n'))
        context_.error(item.at, Path(path, i), "the name '" + std::string(last) + "' ends with a blank");
      Node value = equals == std::string::npos ? Node::make_null(item.at) : Node::make_string(whole.substr(equals + 1), item.at);
      Node& slot = out.at_key(whole.substr(0, equals), item.at);
      slot = std::move(value);
    }
    sort_keys(out);
    return out;
  }

  /// One "name=address" an address, in order.
  Node hosts(const Node& node, const Path& path) {
    Node out = Node::make_sequence(node.at);
    const auto add = [&](const std::string& name, std::string address, const Node& item, const Path& at) {
      if (name.empty() || name.find_first_of(":=") != std::string::npos)
        context_.error(item.at, at, "'" + name + "' is not a host name");
      if (address.size() > 2 && address.front() == '[' && address.back() == ']') address = address.substr(1, address.size() - 2);
      out.items.push_back(Node::make_string(name + "=" + address, item.at));
    };
    for (const Entry& entry : node.entries) {
      const Path here(path, entry.key);
      if (entry.value.is_string()) add(entry.key, entry.value.text, entry.value, here);
      for (const Node& item : entry.value.items) add(entry.key, scalar_text(item), item, here);
    }
    for (std::size_t i = 0; i < node.items.size(); ++i) {
      const Node& item = node.items[i];
      auto separator = item.text.find('=');
      if (separator == std::string::npos) separator = item.text.find(':');
      const Path here(path, i);
      if (separator == std::string::npos) {
        context_.error(item.at, here, "'" + item.text + "' has no address", "write name=address");
        continue;
      }
      // Several addresses of a name may be written in one, with commas.
      std::string_view addresses = std::string_view(item.text).substr(separator + 1);
      for (bool more = true; more;) {
        const auto comma = addresses.find(',');
        more = comma != std::string_view::npos;
        add(item.text.substr(0, separator), std::string(addresses.substr(0, comma)), item, here);
        if (more) addresses.remove_prefix(comma + 1);
      }
    }
    std::stable_sort(out.items.begin(), out.items.end(), [](const Node& a, const Node& b) { return a.text < b.text; });
    return out;
  }

  Node mode(const Node& node, const Path& path) {
    std::int64_t bits = 0;
    if (node.kind == Kind::integer) {
      bits = node.integer;
    } else if (node.kind == Kind::real) {
      unreadable(node, path, "a file mode such as 0440");
    } else {
      std::size_t used = 0;
      for (const char c : node.text) {
        if (c < '0' || c > '7' || used > 10) break;
        bits = bits * 8 + (c - '0');
        ++used;
      }
      if (used == 0 || used != node.text.size()) unreadable(node, path, "a file mode such as 0440");
    }
    std::string octal;
    for (auto left = bits < 0 ? ~static_cast<std::uint64_t>(bits) + 1 : static_cast<std::uint64_t>(bits); left > 0; left /= 8)
      octal.insert(octal.begin(), static_cast<char>('0' + left % 8));
    if (bits < 0) octal.insert(octal.begin(), '-');
    return Node::make_string("0" + (octal.empty() ? "0" : octal), node.at);
  }

  Node count(const Node& node, const Path& path) {
    if (node.kind == Kind::real) unreadable(node, path, "'all' or a whole number");
    if (!node.is_string()) return node;
    std::string lower;
    for (const char c : node.text) lower += (c >= 'A' && c <= 'Z') ? static_cast<char>(c - 'A' + 'a') : c;
    if (lower == "all") return Node::make_integer(-1, node.at);
    const auto value = parse_int(node.text);
    if (!value) unreadable(node, path, "'all' or a number");
    return Node::make_integer(value.value_or(0), node.at);
  }

  Node ulimit(const Node& node, const Rule& rule, const Path& path) {
    if (node.is_mapping()) {
      Node out = Node::make_mapping(node.at);
      for (const std::string_view key : {"soft", "hard"}) {
        const Node* value = node.find(key);
        out.at_key(key, node.at) = value == nullptr ? Node::make_integer(0) : integer(*value, Path(path, key));
      }
      for (const Entry& entry : node.entries)
        if (is_extension(entry.key)) out.entries.push_back(entry);
      (void)rule;
      return out;
    }
    if (node.kind == Kind::real) unreadable(node, path, "a whole number");
    Node value = integer(node, path);
    if (value.integer != 0) return value;
    Node out = Node::make_mapping(node.at);
    out.at_key("soft", node.at) = Node::make_integer(0, node.at);
    out.at_key("hard", node.at) = Node::make_integer(0, node.at);
    return out;
  }

  static Node ssh(const Node& node) {
    Node sorted = node;
    sort_keys(sorted);
    Node out = Node::make_sequence(node.at);
    for (const Entry& entry : sorted.entries) {
      const std::string value = scalar_text(entry.value);
      out.items.push_back(Node::make_string(value.empty() ? entry.key : entry.key + ": " + value, entry.key_at));
    }
    for (const Node& item : node.items) out.items.push_back(item);
    return out;
  }

  /// A file that must exist is printed as its path alone.
  Node env_files(const Node& node) {
    Node out = Node::make_sequence(node.at);
    if (context_.options.resolve_environment) return out;
    for (const Node& item : node.items) {
      const Node *path = item.find("path"), *required = item.find("required"), *format = item.find("format");
      if (path == nullptr || required == nullptr || scalar_text(*required) == "true") {
        out.items.push_back(path == nullptr ? item : *path);
        continue;
      }
      Node file = Node::make_mapping(item.at);
      file.at_key("path") = *path;
      file.at_key("required") = Node::make_boolean(false, required->at);
      if (format != nullptr) file.at_key("format") = *format;
      out.items.push_back(std::move(file));
    }
    return out;
  }

  static Node lists_map(const Node& node, const Path&) {
    Node out = Node::make_mapping(node.at);
    for (const Entry& entry : node.entries) {
      Node list = texts(entry.value);
      if (!list.items.empty()) out.entries.push_back(Entry{entry.key, entry.key_at, std::move(list)});
    }
    sort_keys(out);
    return out;
  }

  Context& context_;
};

}  // namespace

namespace {

void keep_files(Node& service) {
  std::erase_if(service.entries, [](const Entry& entry) {
    return entry.key != "env_file" && entry.key != "label_file" && entry.key != "profiles";
  });
  service.entries.shrink_to_fit();
}

/// A network or volume of which nothing is said has its defaults; in the model there is no null for it.
void fill_resources(Node& document) {
  for (const std::string_view kind : {"networks", "volumes", "secrets", "configs", "models"}) {
    Node* section = document.find(kind);
    if (section == nullptr) continue;
    for (Entry& entry : section->entries)
      if (entry.value.is_null()) entry.value = Node::make_mapping(entry.key_at);
  }
}

}  // namespace

Node typed_tree(Context& context, Node& document) {
  fill_resources(document);
  Typing typing(context);
  const Path top;
  Node services;
  if (Node* written = document.find("services"); written != nullptr && written->is_mapping()) {
    const Rule& rule = *attribute(file_rule(), "services")->value;
    const Path here(top, "services");
    services = Node::make_mapping(written->at);
    services.entries.reserve(written->entries.size());
    for (Entry& entry : written->entries) {
      services.entries.push_back(Entry{entry.key, entry.key_at, typing.convert(entry.value, rule, Path(here, entry.key))});
      keep_files(entry.value);
    }
    sort_keys(services);
  }
  Node raw_services;
  if (Node* written = document.find("services")) std::swap(raw_services, *written);
  Node out = typing.convert(document, file_rule(), top);
  if (Node* written = document.find("services")) std::swap(raw_services, *written);
  if (services.entries.empty()) return out;
  // Behind the name, as the table has it.
  const auto place = std::find_if(out.entries.begin(), out.entries.end(), [](const Entry& e) { return e.key != "name"; });
  out.entries.insert(place, Entry{"services", services.at, std::move(services)});
  return out;
}

}  // namespace compose::load
