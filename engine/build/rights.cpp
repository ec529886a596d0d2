#include "engine/build/rights.h"

#include <fcntl.h>

#include "base/sys.h"
#include "engine/build/tree.h"

namespace engine::build {
namespace {

base::Error invalid(std::string message) { return base::make_error(base::ErrorKind::invalid, std::move(message)); }

/// Lines of a colon-separated file of the root; none when it is missing.
Result<std::vector<std::vector<std::string>>> read_table(base::Fd root, const std::string& path) {
  std::vector<std::vector<std::string>> rows;
  auto file = open_in_root(root, path, O_RDONLY | O_NONBLOCK);
  if (!file) return rows;
  ASSIGN_OR_RETURN(const std::string text, base::sys::read_file("/proc/self/fd/" + std::to_string(file->number()), 8u << 20));
  std::vector<std::string> row(1);
  for (const char c : text) {
    if (c == '\n') {
      rows.push_back(std::exchange(row, std::vector<std::string>(1)));
    } else if (c == ':') {
      row.emplace_back();
    } else {
      row.back() += c;
    }
  }
  rows.push_back(std::move(row));
  return rows;
}

std::optional<std::uint32_t> number(const std::string& text) {
  if (text.empty() || text.size() > 10 || text.find_first_not_of("0123456789") != std::string::npos) return std::nullopt;
  const unsigned long long value = std::stoull(text);
  if (value > 0xFFFFFFFEULL) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

struct PasswdRow {
  std::string name;
  std::uint32_t uid = 0, gid = 0;
  std::string home;
};

Result<std::optional<PasswdRow>> passwd_row(base::Fd root, const std::string& user) {
  ASSIGN_OR_RETURN(const auto rows, read_table(root, "etc/passwd"));
  const auto wanted = number(user);
  for (const auto& row : rows) {
    if (row.size() < 6) continue;
    const auto uid = number(row[2]), gid = number(row[3]);
    if (!uid || !gid) continue;
    if (row[0] == user || (wanted && *uid == *wanted)) return std::optional(PasswdRow{row[0], *uid, *gid, row[5]});
  }
  return std::optional<PasswdRow>();
}

Result<std::optional<std::uint32_t>> group_id(base::Fd root, const std::string& group) {
  if (const auto gid = number(group)) return gid;
  ASSIGN_OR_RETURN(const auto rows, read_table(root, "etc/group"));
  for (const auto& row : rows)
    if (row.size() >= 3 && row[0] == group)
      if (const auto gid = number(row[2])) return gid;
  return std::optional<std::uint32_t>();
}

std::uint32_t triple(std::uint32_t bits) { return bits << 6 | bits << 3 | bits; }

}  // namespace

Result<Owner> parse_owner(base::Fd root, const std::string& text) {
  Owner owner;
  if (text.empty()) return owner;
  const std::size_t colon = text.find(':');
  const std::string user = text.substr(0, colon);
  if (const auto uid = number(user)) {
    owner = {*uid, *uid, {}};
  } else {
    ASSIGN_OR_RETURN(const auto row, passwd_row(root, user));
    if (row) owner = {row->uid, row->gid, {}};
    else if (!user.empty()) owner.unknown = user;
  }
  if (colon != std::string::npos) {
    const bool none = colon + 1 == text.size();  // "app:" is root's group, as in BuildKit
    ASSIGN_OR_RETURN(const auto gid, none ? Result<std::optional<std::uint32_t>>(0U) : group_id(root, text.substr(colon + 1)));
    if (gid) owner.gid = *gid;
    else owner.unknown = text.substr(colon + 1);
  }
  return owner;
}

base::Error no_accounts(const std::string& name) {
  return invalid("unable to find " + name + ": a stage from scratch has no /etc/passwd and /etc/group; use numbers");
}

Result<ModeChange> ModeChange::parse(const std::string& text) {
  ModeChange change;
  const base::Error bad = invalid("invalid chmod parameter: '" + text + "'. it should be octal string and between 0 and 07777");
  if (text.empty()) return bad;
  if (text.find_first_not_of("01234567") == std::string::npos) {
    if (text.size() > 5 || std::stoul(text, nullptr, 8) > 07777) return bad;
    change.absolute_ = static_cast<std::uint32_t>(std::stoul(text, nullptr, 8));
    return change;
  }
  std::size_t at = 0;
  while (at < text.size()) {
    std::uint32_t who = 0;
    for (; at < text.size() && std::string_view("ugoa").find(text[at]) != std::string_view::npos; ++at)
      who |= text[at] == 'u' ? 04700U : text[at] == 'g' ? 02070U : text[at] == 'o' ? 01007U : 07777U;
    if (who == 0) who = 07777;
    bool any = false;
    while (at < text.size() && std::string_view("+-=").find(text[at]) != std::string_view::npos) {
      Clause clause{.who = who, .operation = text[at++], .bits = 0, .conditional_x = false, .special = 0, .like = 0};
      if (at < text.size() && std::string_view("ugo").find(text[at]) != std::string_view::npos) clause.like = text[at++];
      for (; at < text.size() && std::string_view("rwxXst").find(text[at]) != std::string_view::npos; ++at) {
        const char c = text[at];
        clause.bits |= c == 'r' ? 4U : c == 'w' ? 2U : c == 'x' ? 1U : 0U;
        clause.conditional_x = clause.conditional_x || c == 'X';
        if (c == 's') clause.special |= who & 06000U;
        if (c == 't') clause.special |= 01000U;
      }
      change.clauses_.push_back(clause);
      any = true;
    }
    if (!any) return bad;
    if (at == text.size()) break;
    if (text[at] != ',' || at + 1 == text.size()) return bad;
    ++at;
  }
  return change;
}

std::uint32_t ModeChange::apply(std::uint32_t mode, bool is_directory) const {
  if (absolute_) return *absolute_;
  for (const auto& clause : clauses_) {
    std::uint32_t bits = clause.bits;
    if (clause.like != 0) bits = (mode >> (clause.like == 'u' ? 6 : clause.like == 'g' ? 3 : 0)) & 7;
    if (clause.conditional_x && (is_directory || (mode & 0111) != 0)) bits |= 1;
    const std::uint32_t mask = (triple(bits) & clause.who) | clause.special;
    if (clause.operation == '+') mode |= mask;
    if (clause.operation == '-') mode &= ~mask;
    if (clause.operation == '=') mode = (mode & ~(clause.who & 0777U)) | mask;
  }
  return mode & 07777;
}

}  // namespace engine::build
