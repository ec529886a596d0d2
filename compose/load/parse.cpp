#include "compose/load/parse.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/mark.h>
#include <yaml-cpp/parser.h>

#include <istream>
#include <streambuf>
#include <unordered_map>

#include "compose/load/scalar.h"

namespace compose::load {
namespace {

/// A stream over text that stays where it is.
class TextBuffer final : public std::streambuf {
 public:
  explicit TextBuffer(const std::string& text) {
    char* begin = const_cast<char*>(text.data());
    setg(begin, begin, begin + text.size());
  }
};

struct TooMuch {};  ///< thrown through the YAML library to stop it; caught in parse_documents

std::size_t count_nodes(const Node& node) {
  std::size_t n = 1;
  for (const Node& item : node.items) n += count_nodes(item);
  for (const Entry& entry : node.entries) n += count_nodes(entry.value);
  return n;
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

/// go-yaml reads YAML 1.1 only: a `%YAML` directive that says otherwise is refused. Returns its line, 0 = none.
std::uint32_t foreign_version(std::string_view text) {
  std::uint32_t line = 0;
  bool directives = true;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    auto current = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++line;
    if (line > 1 && !directives && !current.starts_with("...")) continue;
    if (current.ends_with('\r')) current.remove_suffix(1);
    if (current.starts_with("...")) directives = true;
    else if (directives && current.starts_with("%YAML ") && current.substr(6, 3) != "1.1") return line;
    else if (!current.empty() && current[0] != '#' && current[0] != '%' && current[0] != ' ') directives = false;
  }
  return 0;
}

class Builder final : public YAML::EventHandler {
 public:
  Builder(Context& context, std::uint32_t file) : context_(context), file_(file) {}

  std::vector<Node> documents;

  /// Where the last scalar begins, when it is quoted.
  [[nodiscard]] const std::optional<Position>& last_quoted() const { return last_quoted_; }

  void OnDocumentStart(const YAML::Mark&) override { anchors_.clear(); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override { place(Node::make_null(at(mark)), anchor); }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    const auto found = anchors_.find(anchor);
    if (found == anchors_.end()) {
      context_.error(at(mark), std::string(), "this alias is inside the value it stands for");
      throw TooMuch{};
    }
    count(count_nodes(found->second), mark);
    place(found->second, 0);
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    Node node;
    node.at = at(mark);
    node.text = value;
    tagged_scalar(node, tag);
    last_quoted_ = node.quoted ? std::optional(node.at) : std::nullopt;
    place(std::move(node), anchor);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(Node::make_sequence(at(mark)), tag, anchor, mark);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(Node::make_mapping(at(mark)), tag, anchor, mark);
  }
  void OnMapEnd() override {
    apply_merges(frames_.back());
    close();
  }

 private:
  struct Frame {
    Node node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;
    bool merge_key = false;
    std::string key;
    Position key_at;
    std::vector<Node> merges;
    std::unordered_map<std::string, std::size_t> seen;  ///< key → entry, used once a mapping is large
  };

  [[nodiscard]] Position at(const YAML::Mark& mark) const {
    if (mark.is_null()) return {file_, 1, 1};
    return {file_, static_cast<std::uint32_t>(mark.line + 1), static_cast<std::uint32_t>(mark.column + 1)};
  }

  void count(std::size_t n, const YAML::Mark& mark) {
    context_.nodes += n;
    if (context_.nodes <= context_.limits.nodes_max) return;
    context_.error(at(mark), std::string(), "the files hold too many values (aliases count where they are used)");
    throw TooMuch{};
  }

  void open(Node node, const std::string& tag, YAML::anchor_t anchor, const YAML::Mark& mark) {
    if (frames_.size() >= context_.limits.depth_max) {
      context_.error(node.at, std::string(), "values are nested too deeply");
      throw TooMuch{};
    }
    count(1, mark);
    set_directive(node, tag);
    Frame frame;
    frame.node = std::move(node);
    frame.anchor = anchor;
    frames_.push_back(std::move(frame));
  }

  void close() {
    Frame frame = std::move(frames_.back());
    frames_.pop_back();
    place(std::move(frame.node), frame.anchor);
  }

  /// Puts a finished value where it belongs: a document, an item, a key or the value of the last key.
  void place(Node node, YAML::anchor_t anchor) {
    if (node.is_scalar()) ++context_.nodes;
    if (anchor != 0) anchors_[anchor] = node;
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
    if (!node.is_scalar()) context_.error(node.at, std::string(), "a key must be a string");
    else if (!node.is_string())
      context_.error(node.at, std::string(),
                     "a key must be a string, not " + std::string(kind_name(node.kind)),
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

  static void set_directive(Node& node, const std::string& tag) {
    if (tag == "!reset") node.directive = Directive::reset;
    if (tag == "!override") node.directive = Directive::override_;
  }

  void tagged_scalar(Node& node, const std::string& tag) {
    if (tag == "?") {
      resolve_plain(node);
      if (node.kind == Kind::string && is_timestamp(node.text)) {
        node.time = true;
        node.text = format_timestamp(node.text);
      }
      return;
    }
    node.kind = Kind::string;
    if (tag == "!") {
      node.quoted = true;
      return;
    }
    set_directive(node, tag);
    constexpr std::string_view core = "tag:yaml.org,2002:";
    if (node.directive != Directive::none || !tag.starts_with(core)) {
      resolve_plain(node);
      return;
    }
    const std::string_view name = std::string_view(tag).substr(core.size());
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

  std::optional<Position> last_quoted_;
  Context& context_;
  std::uint32_t file_;
  std::vector<Frame> frames_;
  std::unordered_map<YAML::anchor_t, Node> anchors_;
};

}  // namespace

namespace {

/// The YAML library takes the end of the file for the end of a quoted scalar; the specification and go-yaml do not.
/// Only the last scalar of a file can be one.
bool unterminated(std::string_view text, const Position& at) {
  for (std::uint32_t line = 1; line < at.line; ++line) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return false;
    text.remove_prefix(end + 1);
  }
  if (at.column == 0 || text.size() < at.column) return false;
  text.remove_prefix(at.column - 1);
  const char quote = text.front();
  if (quote != '"' && quote != '\'') return false;  // a tag or an anchor comes first
  for (std::size_t i = 1; i < text.size(); ++i) {
    if (quote == '"' && text[i] == '\\') ++i;
    else if (text[i] == quote) return false;
  }
  return true;
}

}  // namespace

std::vector<Node> parse_documents(Context& context, std::uint32_t file) {
  const std::string& text = context.sources.files[file].text;
  Builder builder(context, file);
  if (const auto line = text.starts_with('%') || text.find("\n%") != std::string::npos ? foreign_version(text) : 0; line != 0) {
    context.error({file, line, 1}, std::string(), "only YAML 1.1 documents are read");
    return {};
  }
  try {
    TextBuffer buffer(text);
    std::istream stream(&buffer);
    YAML::Parser parser(stream);
    while (parser.HandleNextDocument(builder)) {
    }
  } catch (const TooMuch&) {
    return {};
  } catch (const YAML::Exception& problem) {
    Position at{file, 1, 1};
    if (!problem.mark.is_null())
      at = {file, static_cast<std::uint32_t>(problem.mark.line + 1), static_cast<std::uint32_t>(problem.mark.column + 1)};
    context.error(at, std::string(), "YAML syntax: " + problem.msg);
    return {};
  }
  if (const auto& at = builder.last_quoted(); at && unterminated(text, *at)) {
    context.error(*at, std::string(), "YAML syntax: this quoted value has no end", "close the quote");
    return {};
  }
  return std::move(builder.documents);
}

}  // namespace compose::load
