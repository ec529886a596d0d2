// --help: the table as text, wrapped like Docker's at 80 columns.
#include <algorithm>

#include "compose/cli/globals.h"
#include "compose/cli/verbs.h"

namespace compose::cli {
namespace {

constexpr std::size_t columns = 80;

std::string program() { return globals().plugin ? "docker compose" : "compose"; }

std::string head_of(const Flag& flag) {
  std::string head = flag.letter != 0 ? "  -" + std::string(1, flag.letter) + ", --" : "      --";
  head += flag.name;
  switch (flag.kind) {
    case FlagKind::boolean: break;
    case FlagKind::number: head += " int"; break;
    case FlagKind::text: head += " " + std::string(flag.value.empty() ? "string" : flag.value); break;
    case FlagKind::list: head += " " + std::string(flag.value.empty() ? "stringArray" : flag.value); break;
  }
  return head;
}

std::string tail_of(const Flag& flag) {
  std::string tail(flag.help);
  if (!flag.initial.empty()) {
    const bool quotes = flag.kind == FlagKind::text || flag.kind == FlagKind::list;
    tail += quotes ? " (default \"" + std::string(flag.initial) + "\")" : " (default " + std::string(flag.initial) + ")";
  }
  if (!flag.refused.empty()) tail += " (not supported)";
  return tail;
}

/// `head`, spaces up to `indent`, then `tail` wrapped so that no line passes the last column.
std::string wrapped(const std::string& head, const std::string& tail, std::size_t indent) {
  std::string text = head + std::string(indent - head.size(), ' ');
  const std::size_t room = columns > indent + 20 ? columns - indent : 20;
  std::string_view rest(tail);
  while (rest.size() > room) {
    auto cut = rest.rfind(' ', room);
    if (cut == std::string_view::npos || cut == 0) cut = std::min(rest.find(' '), rest.size());
    text += std::string(rest.substr(0, cut)) + "\n" + std::string(indent, ' ');
    rest.remove_prefix(std::min(cut + 1, rest.size()));
  }
  return text + std::string(rest) + "\n";
}

std::string flags_text(std::span<const Flag> flags) {
  std::size_t indent = 0;
  for (const auto& flag : flags) {
    if (!flag.hidden) indent = std::max(indent, head_of(flag).size() + 3);
  }
  std::string text;
  for (const auto& flag : flags) {
    if (!flag.hidden) text += wrapped(head_of(flag), tail_of(flag), indent);
  }
  return text;
}

}  // namespace

std::string root_help() {
  std::string text = "Usage:  " + program() + " [OPTIONS] COMMAND\n\nDefine and run multi-container applications\n\nOptions:\n" +
                     flags_text(global_flags());
  std::size_t width = 0;
  for (const auto& verb : verbs()) width = std::max(width, verb.name.size());
  for (const bool group : {true, false}) {
    text += group ? "\nManagement Commands:\n" : "\nCommands:\n";
    for (const auto& verb : verbs()) {
      if (verb.hidden || verb.handler == nullptr) continue;
      if ((verb.raw && verb.usage == "COMMAND") != group) continue;
      text += "  " + std::string(verb.name) + std::string(width - verb.name.size() + 3, ' ') + std::string(verb.summary) + "\n";
    }
  }
  return text + "\nRun '" + program() + " COMMAND --help' for more information on a command.\n";
}

std::string verb_help(const Verb& verb) {
  std::string text = "Usage:  " + program() + " " + std::string(verb.name) + " " + std::string(verb.usage) + "\n\n" +
                     std::string(verb.summary) + "\n";
  if (!verb.flags.empty()) text += "\nOptions:\n" + flags_text(verb.flags);
  return text;
}

}  // namespace compose::cli
