#include "engine/build/parser.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "engine/build/words.h"

namespace engine::build {
namespace {

constexpr std::size_t file_bytes_max = 16u << 20;
constexpr std::size_t heredocs_max = 64;

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// A final newline makes an empty last line, as in BuildKit's excerpts.
std::vector<std::string> split_lines(std::string_view text) {
  std::vector<std::string> lines;
  while (true) {
    const std::size_t end = text.find('\n');
    lines.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return lines;
    text.remove_prefix(end + 1);
  }
}

std::string_view without_cr(std::string_view line) {
  while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

bool is_comment(std::string_view line) {
  const auto text = trim_left(line);
  return !text.empty() && text.front() == '#';
}

/// Takes a trailing escape (blanks may follow it) off the line; an escaped escape continues nothing.
bool take_continuation(std::string_view& line, char escape) {
  std::string_view rest = line;
  while (!rest.empty() && (rest.back() == ' ' || rest.back() == '\t')) rest.remove_suffix(1);
  if (rest.empty() || rest.back() != escape) return false;
  rest.remove_suffix(1);
  if (!rest.empty() && rest.back() == escape) return false;
  line = rest;
  return true;
}

/// "# key = value": key and value, or nothing.
std::optional<std::pair<std::string, std::string>> directive(std::string_view line) {
  auto text = trim(line);
  if (text.empty() || text.front() != '#') return std::nullopt;
  text = trim_left(text.substr(1));
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos) return std::nullopt;
  const std::string key = lower(trim(text.substr(0, equals)));
  if (key.empty() || !std::all_of(key.begin(), key.end(), [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }))
    return std::nullopt;
  return std::pair(key, std::string(trim(text.substr(equals + 1))));
}

/// The directives before anything else.
Result<> read_directives(Dockerfile& file, Span& where) {
  std::set<std::string> seen;
  for (std::size_t i = 0; i < file.lines.size(); ++i) {
    const auto found = directive(file.lines[i]);
    if (!found) break;
    const auto& [key, value] = *found;
    if (key != "syntax" && key != "escape" && key != "check") break;
    where = {static_cast<int>(i + 1), static_cast<int>(i + 1), 1};
    if (!seen.insert(key).second) return invalid("only one " + key + " parser directive can be used");
    if (key == "syntax") file.syntax = value;
    if (key == "check") file.check = value;
    if (key != "escape") continue;
    if (value != "\\" && value != "`") return invalid("invalid escape token '" + value + "' does not match ` or \\");
    file.escape = value.front();
  }
  return {};
}

/// The leading "--flag" words and what follows them.
std::pair<std::vector<std::string>, std::string> take_flags(std::string_view line) {
  std::vector<std::string> flags;
  std::size_t at = 0;
  while (true) {
    while (at < line.size() && (line[at] == ' ' || line[at] == '\t')) ++at;
    if (at + 1 >= line.size() || line[at] != '-' || line[at + 1] != '-') break;
    std::string word;
    char quote = 0;
    for (; at < line.size(); ++at) {
      char c = line[at];
      if (quote == 0 && (c == ' ' || c == '\t')) break;
      if (c == '\\' && at + 1 < line.size()) {
        word += line[++at];
      } else if (quote != 0 && c == quote) {
        quote = 0;
      } else if (quote == 0 && (c == '\'' || c == '"')) {
        quote = c;
      } else {
        word += c;
      }
    }
    if (word == "--") break;
    flags.push_back(word);
  }
  return {flags, std::string(trim(line.substr(at)))};
}

bool is_json_form(std::string_view rest) { return !rest.empty() && rest.front() == '['; }

bool takes_heredocs(const Instruction& instruction) {
  if (instruction.keyword == "ONBUILD") {
    const auto words = split_blank(instruction.rest);
    const std::string inner = words.empty() ? "" : upper(words.front());
    return inner == "RUN" || inner == "COPY" || inner == "ADD";
  }
  return (instruction.keyword == "RUN" || instruction.keyword == "COPY" || instruction.keyword == "ADD") &&
         !is_json_form(instruction.rest);
}

std::string_view without_tabs(std::string_view line) {
  while (!line.empty() && line.front() == '\t') line.remove_prefix(1);
  return line;
}

/// Reads the bodies of the heredocs `instruction` opens, from line `next` on.
Result<> read_heredocs(const Dockerfile& file, Instruction& instruction, std::size_t& next) {
  if (!takes_heredocs(instruction) || instruction.rest.find("<<") == std::string::npos) return {};
  const ExpandOptions raw{.escape = file.escape, .keep_quotes = true, .keep_escapes = true, .keep_unset = true};
  const auto words = expand_words(instruction.rest, [](const std::string&) { return std::nullopt; }, raw);
  if (!words) return {};  // not the parser's business: the shell will complain
  for (const auto& word : *words) {
    auto heredoc = heredoc_word(word);
    if (!heredoc) continue;
    if (instruction.heredocs.size() == heredocs_max) return invalid("too many heredocs in one instruction");
    bool ended = false;
    while (next < file.lines.size() && !ended) {
      const std::string& line = file.lines[next++];
      const auto bare = without_cr(line);
      ended = (heredoc->chomp ? without_tabs(bare) : bare) == heredoc->name;
      if (ended) break;
      heredoc->raw += line + "\n";
      heredoc->content += std::string(heredoc->chomp ? without_tabs(line) : std::string_view(line)) + "\n";
    }
    if (!ended) return invalid("unterminated heredoc");
    instruction.heredocs.push_back(std::move(*heredoc));
  }
  return {};
}

/// Joins the lines of one instruction; `next` is the first line, then the one after it.
std::string join_lines(const Dockerfile& file, std::size_t& next) {
  const std::size_t end = file.lines.size() - (file.lines.back().empty() ? 1 : 0);  // nothing follows the last line's end
  std::string joined;
  std::string_view line = trim_left(without_cr(file.lines[next++]));
  bool more = take_continuation(line, file.escape);
  joined = line;
  while (more && next < end) {
    line = without_cr(file.lines[next++]);
    if (is_comment(line) || trim(line).empty()) continue;  // comments and empty lines inside vanish
    more = take_continuation(line, file.escape);
    joined += line;
  }
  return joined;
}

}  // namespace

std::optional<Heredoc> heredoc_word(const std::string& word) {
  std::size_t at = 0;
  while (at < word.size() && word[at] >= '0' && word[at] <= '9') ++at;
  if (word.compare(at, 2, "<<") != 0) return std::nullopt;
  at += 2;
  Heredoc heredoc;
  if (at < word.size() && word[at] == '-') {
    heredoc.chomp = true;
    ++at;
  }
  while (at < word.size() && (word[at] == ' ' || word[at] == '\t')) ++at;
  const std::string rest = word.substr(at);
  if (rest.empty() || rest.find('<') != std::string::npos) return std::nullopt;
  const auto unset = [](const std::string&) { return std::optional<std::string>(); };
  const auto plain = expand_words(rest, unset, {.keep_unset = true});
  if (!plain || plain->size() != 1) return std::nullopt;
  heredoc.name = plain->front();
  heredoc.expand = heredoc.name == rest;
  return heredoc;
}

Result<Instruction> parse_instruction(std::string_view line, char escape) {
  (void)escape;
  Instruction instruction;
  line = trim(line);
  const std::size_t blank = line.find_first_of(" \t\v\f\r\n");
  instruction.typed = line.substr(0, blank);
  instruction.keyword = upper(instruction.typed);
  const std::string_view arguments = blank == std::string_view::npos ? std::string_view() : trim(line.substr(blank));
  auto [flags, rest] = take_flags(arguments);
  instruction.flags = std::move(flags);
  instruction.rest = std::move(rest);
  instruction.original = instruction.keyword + (arguments.empty() ? "" : std::string(line.substr(blank)));
  return instruction;
}

Result<Dockerfile> parse_dockerfile(const std::string& name, std::string_view text, Span& where) {
  if (text.size() > file_bytes_max) return invalid("the Dockerfile is larger than 16 MiB");
  if (text.empty()) return invalid("the Dockerfile cannot be empty");
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  Dockerfile file;
  file.name = name;
  file.lines = split_lines(text);
  TRY(read_directives(file, where));
  std::size_t next = 0;
  while (next < file.lines.size()) {
    const auto line = without_cr(file.lines[next]);
    if (is_comment(line) || trim(line).empty()) {
      ++next;
      continue;
    }
    const int first = static_cast<int>(next + 1);
    const std::string joined = join_lines(file, next);
    if (trim(joined).empty()) continue;
    ASSIGN_OR_RETURN(Instruction instruction, parse_instruction(joined, file.escape));
    where = {first, static_cast<int>(next), 0};
    if (auto read = read_heredocs(file, instruction, next); !read) {
      where.last = static_cast<int>(file.lines.back().empty() ? file.lines.size() - 1 : file.lines.size());
      return std::move(read).error();
    }
    instruction.span = {first, static_cast<int>(next), 0};
    file.instructions.push_back(std::move(instruction));
  }
  where = {};
  if (file.instructions.empty()) return invalid("file with no instructions");
  return file;
}

namespace {

/// What a message quotes, and what follows "unknown …: ".
std::vector<std::string_view> quoted_words(std::string_view message) {
  std::vector<std::string_view> words;
  for (std::size_t i = 0; i < message.size(); ++i) {
    if (message[i] == '"' || message[i] == '\'') {
      const auto end = message.find(message[i], i + 1);
      if (end == std::string_view::npos) break;
      words.push_back(message.substr(i + 1, end - i - 1));
      i = end;
    } else if (message.substr(i).starts_with("unknown ")) {
      const auto colon = message.find(": ", i);
      if (colon == std::string_view::npos) continue;
      words.push_back(message.substr(colon + 2, message.find_first_of(" ,", colon + 2) - colon - 2));
    }
  }
  return words;
}

bool part_of_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.'; }

}  // namespace

Span point_at(const Dockerfile& file, const Span& where, std::string_view message) {
  const int last = std::min(std::max(where.last, where.first), static_cast<int>(file.lines.size()));
  if (where.first <= 0 || where.column > 0) return where;
  for (auto word : quoted_words(message)) {
    if (word.starts_with('/')) word.remove_prefix(1);  // paths of the context are shown from its root
    if (word.size() < 2) continue;
    for (int number = where.first; number <= last; ++number) {
      const std::string_view line = file.lines[static_cast<std::size_t>(number - 1)];
      for (auto at = line.find(word); at != std::string_view::npos; at = line.find(word, at + 1)) {
        const bool inside = (at > 0 && part_of_word(line[at - 1])) || (at + word.size() < line.size() && part_of_word(line[at + word.size()]));
        if (!inside) return {number, number == where.first ? where.last : number, static_cast<int>(at) + 1};
      }
    }
  }
  return where;
}

std::string excerpt(const Dockerfile& file, const Span& where) {
  if (where.first <= 0) return "";
  const int count = static_cast<int>(file.lines.size());
  int first = where.first, last = std::min(std::max(where.last, where.first), count);
  if (first > count) return "";
  // BuildKit's padding: four lines around a single one, two around several.
  const int pad = first == last ? 4 : 2;
  for (int shown = 0; shown < pad; ++shown) {
    if (first > 1) --first, ++shown;
    if (last != count) ++last, ++shown;
  }
  std::string text = file.name + ":" + std::to_string(where.first) +
                     (where.column > 0 ? ":" + std::to_string(where.column) : "") + "\n--------------------\n";
  for (int line = first; line <= last; ++line) {
    char number[16];
    std::snprintf(number, sizeof number, "%4d", line);
    const bool blamed = line >= where.first && line <= where.last;
    text += std::string(number) + " | " + (blamed ? ">>> " : "    ") +
            std::string(without_cr(file.lines[static_cast<std::size_t>(line - 1)])) + "\n";
  }
  return text + "--------------------\n";
}

}  // namespace engine::build
