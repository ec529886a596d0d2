#include "compose/load/parse.h"

#include <unordered_map>

#include "compose/load/scalar.h"
#include "compose/load/yaml_events.h"

namespace compose::load {
namespace {

struct TooMuch {};  ///< thrown through the YAML reader to stop it; caught in parse_documents

struct Extent {
  std::size_t nodes = 0, bytes = 0;
};

void measure(const Node& node, Extent& extent) {
  ++extent.nodes;
  extent.bytes += node.text.size();
  for (const Node& item : node.items) measure(item, extent);
  for (const Entry& entry : node.entries) {
    extent.bytes += entry.key.size();
    measure(entry.value, extent);
  }
}

/// Decodes in place; false when it is no base64 (blanks between characters are allowed).
bool decode_base64(std::string& text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  std::uint32_t bits = 0;
  std::size_t count = 0, padding = 0;
  for (const char c : text) {
    if (c == ' ' || c == '\n' || c == '\r' || c == '\t') continue;
    const auto value = digits.find(c);
    if (c == '=') ++padding;
    else if (value == std::string_view::npos || padding > 0) return false;
    bits = (bits << 6U) | static_cast<std::uint32_t>(c == '=' ? 0 : value);
    if (++count % 4 != 0) continue;
    for (unsigned shift = 24; shift > 0;) {
      shift -= 8;
      out += static_cast<char>((bits >> shift) & 0xFFU);
    }
    bits = 0;
  }
  if (count % 4 != 0 || padding > 2 || padding > out.size()) return false;
  text.assign(out, 0, out.size() - padding);
  return true;
}

class Builder final : public YamlEvents {
 public:
  Builder(Context& context, std::uint32_t file) : context_(context), file_(file) {}

  std::vector<Node> documents;

  [[nodiscard]] Position at(const YamlMark& mark) const { return {file_, mark.line + 1, mark.column + 1}; }

  // Docker Compose's reader keeps the anchors of earlier documents.
  void document_start() override {}
  void alias(YamlMark mark, std::string_view alias_name) override {
    const std::string name(alias_name);
    const auto found = anchors_.find(name);
    if (found == anchors_.end()) {
      const bool inside = std::any_of(frames_.begin(), frames_.end(), [&](const Frame& frame) { return frame.anchor == name; });
      context_.error(at(mark), std::string(), inside ? "this alias is inside the value it stands for" : "there is no anchor '" + name + "'");
      throw TooMuch{};
    }
    Extent extent;
    measure(found->second, extent);
    count(extent.nodes, mark);
    context_.alias_bytes += extent.bytes;
    if (context_.alias_bytes > context_.limits.alias_bytes_max) {
      context_.error(at(mark), std::string(), "the aliases of the files stand for too much text");
      throw TooMuch{};
    }
    place(found->second, "");
  }
  void scalar(YamlMark mark, const YamlProperties& properties, std::string_view text, bool plain) override {
    count(1, mark);
    Node node;
    node.at = at(mark);
    node.text = text;
    tagged_scalar(node, properties.tag, plain);
    place(std::move(node), properties.anchor);
  }
  void sequence_start(YamlMark mark, const YamlProperties& properties) override {
    open(Node::make_sequence(at(mark)), properties, mark);
  }
  void sequence_end() override { close(); }
  void mapping_start(YamlMark mark, const YamlProperties& properties) override {
    open(Node::make_mapping(at(mark)), properties, mark);
  }
  void mapping_end() override {
    apply_merges(frames_.back());
    close();
  }

 private:
  struct Frame {
    Node node;
    std::string anchor;
    bool has_key = false;
    bool merge_key = false;
    bool merged = false;                                ///< has a `<<` already
    std::string key;
    Position key_at;
    std::vector<Node> merges;
    std::unordered_map<std::string, std::size_t> seen;  ///< key → entry, used once a mapping is large
  };

  void count(std::size_t n, const YamlMark& mark) {
    context_.nodes += n;
    if (context_.nodes <= context_.limits.nodes_max) return;
    context_.error(at(mark), std::string(), "the files hold too many values (aliases count where they are used)");
    throw TooMuch{};
  }

  void open(Node node, const YamlProperties& properties, const YamlMark& mark) {
    if (frames_.size() >= context_.limits.depth_max) {
      context_.error(node.at, std::string(), "values are nested too deeply");
      throw TooMuch{};
    }
    count(1, mark);
    set_directive(node, properties.tag);
    Frame frame;
    frame.node = std::move(node);
    frame.anchor = properties.anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    place(std::move(frame.node), frame.anchor);
  }

  /// Puts a finished value where it belongs: a document, an item, a key or the value of the last key.
  void place(Node node, std::string_view anchor) {
    if (!anchor.empty()) anchors_[std::string(anchor)] = node;
    if (frames_.empty()) {
      documents.push_back(std::move(node));
      return;
    }
    Frame& frame = frames_.back();
    if (frame.node.is_sequence()) {
      frame.node.items.push_back(std::move(node));
    } else if (!frame.has_key) {
      take_key(frame, node);
    } else {
      frame.has_key = false;
      if (frame.merge_key) {
        take_merge(frame, std::move(node));
      } else {
        add_entry(frame, std::move(node));
      }
    }
  }

  void take_key(Frame& frame, const Node& node) {
    frame.has_key = true;
    frame.key_at = node.at;
    frame.merge_key = node.is_string() && !node.quoted && node.text == "<<";
    frame.key = node.text;
    if (frame.merge_key && frame.merged)
      context_.error(node.at, std::string(), "key '<<' is already defined in this mapping", "give it a list: <<: [*a, *b]");
    frame.merged = frame.merged || frame.merge_key;
    if (!node.is_scalar()) context_.error(node.at, std::string(), "a key must be a string");
    else if (!node.is_string() || node.time)
      context_.error(node.at, std::string(),
                     "a key must be a string, not " + std::string(node.time ? "a date" : kind_name(node.kind)),
                     "write it in quotes: \"" + (node.is_null() ? "null" : node.text) + "\"");
  }

  void add_entry(Frame& frame, Node node) {
    constexpr std::size_t small = 16;
    auto& entries = frame.node.entries;
    const Entry* earlier = nullptr;
    if (entries.size() < small) {
      for (const Entry& entry : entries)
        if (entry.key == frame.key) earlier = &entry;
    } else {
      if (frame.seen.empty())
        for (std::size_t i = 0; i < entries.size(); ++i) frame.seen.emplace(entries[i].key, i);
      const auto [found, added] = frame.seen.emplace(frame.key, entries.size());
      if (!added) earlier = &entries[found->second];
    }
    if (earlier != nullptr) {
      context_.error(frame.key_at, std::string(),
                     "key '" + frame.key + "' is already defined at line " + std::to_string(earlier->key_at.line));
      return;
    }
    if (entries.size() >= context_.limits.entries_max) {
      context_.error(frame.key_at, std::string(), "a mapping holds too many keys");
      throw TooMuch{};
    }
    entries.push_back(Entry{std::move(frame.key), frame.key_at, std::move(node)});
  }

  void take_merge(Frame& frame, Node node) {
    const auto refuse = [&](const Node& wrong) {
      context_.error(wrong.at, std::string(), "'<<' needs a mapping or a list of mappings");
    };
    if (node.is_mapping()) {
      frame.merges.push_back(std::move(node));
    } else if (node.is_sequence()) {
      for (Node& item : node.items) {
        if (item.is_mapping()) frame.merges.push_back(std::move(item));
        else refuse(item);
      }
    } else {
      refuse(node);
    }
  }

  /// Keys written in the mapping win over merged ones, wherever `<<` stands; an earlier merge wins over a later.
  static void apply_merges(Frame& frame) {
    for (Node& merge : frame.merges)
      for (Entry& entry : merge.entries)
        if (frame.node.find(entry.key) == nullptr) frame.node.entries.push_back(std::move(entry));
  }

  static void set_directive(Node& node, std::string_view tag) {
    if (tag == "!reset") node.directive = Directive::reset;
    if (tag == "!override") node.directive = Directive::override_;
  }

  void tagged_scalar(Node& node, std::string_view tag, bool plain) {
    if (plain && (tag.empty() || tag == "!")) {
      resolve_plain(node);
      if (node.kind == Kind::string && is_timestamp(node.text)) {
        node.time = true;
        node.text = format_timestamp(node.text);
      }
      return;
    }
    node.kind = Kind::string;
    if (tag.empty() || tag == "!") {
      node.quoted = true;
      return;
    }
    set_directive(node, tag);
    constexpr std::string_view core = "tag:yaml.org,2002:";
    if (!tag.starts_with(core)) {
      return;  // a tag of somebody's own, !override among them, makes a string of the text, whatever it looks like
    }
    const std::string_view name = tag.substr(core.size());
    if (name == "str" || name == "binary") {
      node.quoted = true;
      if (name == "binary" && !decode_base64(node.text))
        context_.error(node.at, std::string(), "!!binary value is not base64");
      return;
    }
    resolve_plain(node);
    if (name == "float" && node.kind == Kind::integer) {
      node.number = static_cast<double>(node.integer);
      node.kind = Kind::real;
    }
    const bool fits = (name == "int" && node.kind == Kind::integer) || (name == "float" && node.kind == Kind::real) ||
                      (name == "bool" && node.kind == Kind::boolean) || (name == "null" && node.is_null());
    if (!fits && (name == "int" || name == "float" || name == "bool" || name == "null"))
      context_.error(node.at, std::string(), "'" + node.text + "' cannot be read as !!" + std::string(name));
  }

  Context& context_;
  std::uint32_t file_;
  std::vector<Frame> frames_;
  std::unordered_map<std::string, Node> anchors_;
};

}  // namespace

std::vector<Node> parse_documents(Context& context, std::uint32_t file) {
  Builder builder(context, file);
  try {
    read_yaml(context.sources.files[file].text, builder);
  } catch (const TooMuch&) {
    return {};
  } catch (const YamlError& problem) {
    context.error(builder.at(problem.at), std::string(), "YAML syntax: " + problem.message, problem.hint);
    return {};
  }
  return std::move(builder.documents);
}

}  // namespace compose::load
