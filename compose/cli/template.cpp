#include "compose/cli/template.h"

#include <algorithm>
#include <cctype>

#include "compose/cli/output.h"

namespace compose::cli {

using base::Result;

namespace {

struct Piece {
  std::string literal;               ///< used when `function` and `field` are empty
  std::string function, field, argument;
};

std::string trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return std::string(text);
}

std::string unescaped(std::string_view text) {
  std::string result;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == 't' || text[i + 1] == 'n')) {
      result += text[++i] == 't' ? '\t' : '\n';
    } else {
      result += text[i];
    }
  }
  return result;
}

Result<Piece> parse_action(const std::string& action) {
  Piece piece;
  std::string rest = action;
  if (!rest.starts_with('.')) {
    const auto space = rest.find(' ');
    piece.function = rest.substr(0, space);
    rest = space == std::string::npos ? "" : trimmed(std::string_view(rest).substr(space));
    static constexpr std::string_view known[] = {"json", "upper", "lower", "title"};
    if (std::find(std::begin(known), std::end(known), piece.function) == std::end(known)) {
      return base::make_error(base::ErrorKind::invalid, "template parsing error: template: :1: function \"" + piece.function + "\" not defined");
    }
  }
  if (!rest.starts_with('.')) return base::make_error(base::ErrorKind::invalid, "template parsing error: unsupported action {{" + action + "}}");
  rest = rest.substr(1);
  if (const auto space = rest.find(' '); space != std::string::npos) {
    piece.argument = trimmed(std::string_view(rest).substr(space));
    if (piece.argument.size() >= 2 && piece.argument.front() == '"') piece.argument = piece.argument.substr(1, piece.argument.size() - 2);
    rest = rest.substr(0, space);
  }
  piece.field = rest;
  if (piece.field.empty() && piece.function.empty()) piece.function = "json";
  return piece;
}

Result<std::vector<Piece>> parse(std::string_view format) {
  std::vector<Piece> pieces;
  while (!format.empty()) {
    const auto open = format.find("{{");
    if (open != 0) {
      pieces.push_back({.literal = unescaped(format.substr(0, open)), .function = {}, .field = {}, .argument = {}});
      if (open == std::string_view::npos) break;
      format.remove_prefix(open);
      continue;
    }
    const auto close = format.find("}}");
    if (close == std::string_view::npos) return base::make_error(base::ErrorKind::invalid, "template parsing error: template: :1: unclosed action");
    ASSIGN_OR_RETURN(auto piece, parse_action(trimmed(format.substr(2, close - 2))));
    pieces.push_back(std::move(piece));
    format.remove_prefix(close + 2);
  }
  return pieces;
}

/// The value of "a=1,b=2" under `name`.
std::string label_in(const std::string& labels, const std::string& name) {
  std::size_t at = 0;
  while (at < labels.size()) {
    const auto end = std::min(labels.find(',', at), labels.size());
    const auto entry = labels.substr(at, end - at);
    if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
    at = end + 1;
  }
  return "";
}

Result<std::string> value_of(const Piece& piece, const Fields& row) {
  if (piece.field.empty() && piece.function.empty()) return piece.literal;
  if (piece.field.empty()) return row.json();
  if (piece.field == "Label") return label_in(row.text("Labels"), piece.argument);
  const auto* value = row.find(piece.field);
  if (value == nullptr) {
    return base::make_error(base::ErrorKind::invalid, "template: :1:2: executing \"\" at <." + piece.field + ">: can't evaluate field " + piece.field);
  }
  if (piece.function == "json") return json_string(*value);
  std::string text = *value;
  if (piece.function == "upper") std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  if (piece.function == "lower") std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// ".ExitCode" → "EXIT CODE"; Docker's headings for the fields it names itself.
std::string heading(const Piece& piece) {
  if (piece.field.empty()) return piece.literal;
  static const std::map<std::string, std::string> known = {
      {"ID", "CONTAINER ID"}, {"Name", "NAME"}, {"Names", "NAMES"}, {"Image", "IMAGE"}, {"Command", "COMMAND"}, {"Service", "SERVICE"},
      {"CreatedAt", "CREATED AT"}, {"RunningFor", "CREATED"}, {"Status", "STATUS"}, {"State", "STATE"}, {"Health", "HEALTH"}, {"Ports", "PORTS"},
      {"Project", "PROJECT"}, {"Labels", "LABELS"}, {"Mounts", "MOUNTS"}, {"Networks", "NETWORKS"}, {"Size", "SIZE"}, {"LocalVolumes", "LOCAL VOLUMES"},
      {"Driver", "DRIVER"}, {"Mountpoint", "MOUNTPOINT"}, {"Scope", "SCOPE"}, {"CPUPerc", "CPU %"}, {"MemUsage", "MEM USAGE / LIMIT"},
      {"MemPerc", "MEM %"}, {"NetIO", "NET I/O"}, {"BlockIO", "BLOCK I/O"}, {"PIDs", "PIDS"}, {"Container", "CONTAINER"}};
  const auto found = known.find(piece.field);
  return found == known.end() ? "<no value>" : found->second;
}

std::vector<std::string> split_tabs(const std::string& text) {
  std::vector<std::string> cells(1);
  for (const char c : text) {
    if (c == '\t') cells.emplace_back();
    else cells.back() += c;
  }
  return cells;
}

}  // namespace

const std::string* Fields::find(std::string_view name) const {
  for (const auto& value : values_) {
    if (value.name == name) return &value.value;
  }
  return nullptr;
}

std::string Fields::text(std::string_view name) const {
  const auto* value = find(name);
  return value == nullptr ? "" : *value;
}

std::string Fields::json() const {
  std::string text;
  for (const auto& value : values_) {
    text += (text.empty() ? "" : ",") + json_string(value.name) + ":" + (value.is_json ? value.value : json_string(value.value));
  }
  return "{" + text + "}";
}

Result<std::string> render_rows(const std::string& format, const std::vector<Fields>& rows) {
  const bool with_heading = format.starts_with("table");
  ASSIGN_OR_RETURN(const auto pieces, parse(with_heading ? trimmed(std::string_view(format).substr(5)) : std::string_view(format)));
  std::vector<std::vector<std::string>> cells;
  std::string text;
  if (with_heading) {
    std::string line;
    for (const auto& piece : pieces) line += heading(piece);
    cells.push_back(split_tabs(line));
  }
  for (const auto& row : rows) {
    std::string line;
    for (const auto& piece : pieces) {
      ASSIGN_OR_RETURN(const auto value, value_of(piece, row));
      line += value;
    }
    if (with_heading) cells.push_back(split_tabs(line));
    else text += line + "\n";
  }
  return with_heading ? table(cells, 3, 10) : text;
}

}  // namespace compose::cli
