#include "engine/images/reference.h"

#include <algorithm>

namespace engine::images {

namespace {

bool is_lower_or_digit(char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); }
bool is_word(char c) { return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

base::Error bad(std::string_view text, const std::string& why = "") {
  return base::make_error(base::ErrorKind::invalid,
                          "invalid reference format" + (why.empty() ? "" : ": " + why) + ": '" + std::string(text) + "'");
}

/// [a-z0-9]+ parts joined by one '.', one or two '_', or any number of '-'.
bool is_path_component(std::string_view part) {
  if (part.empty() || !is_lower_or_digit(part.front()) || !is_lower_or_digit(part.back())) return false;
  for (std::size_t i = 0; i < part.size();) {
    if (is_lower_or_digit(part[i])) {
      ++i;
      continue;
    }
    const char separator = part[i];
    std::size_t run = 0;
    while (i < part.size() && part[i] == separator) ++i, ++run;
    const bool fine = (separator == '.' && run == 1) || (separator == '_' && run <= 2) || separator == '-';
    if (!fine || i >= part.size() || !is_lower_or_digit(part[i])) return false;
  }
  return true;
}

bool is_path(std::string_view path) {
  for (std::size_t from = 0;;) {
    const auto slash = path.find('/', from);
    if (!is_path_component(path.substr(from, slash == std::string_view::npos ? slash : slash - from))) return false;
    if (slash == std::string_view::npos) return true;
    from = slash + 1;
  }
}

bool is_tag(std::string_view tag) {
  return !tag.empty() && tag.size() <= 128 && is_word(tag.front()) &&
         std::all_of(tag.begin(), tag.end(), [](char c) { return is_word(c) || c == '.' || c == '-'; });
}

bool is_domain(std::string_view domain) {
  std::string_view host = domain;
  if (!host.empty() && host.front() == '[') {
    const auto end = host.find(']');
    if (end == std::string_view::npos || end == 1) return false;
    const auto address = host.substr(1, end - 1);
    if (address.find_first_not_of("0123456789abcdefABCDEF:.") != std::string_view::npos) return false;
    const auto rest = host.substr(end + 1);
    if (rest.empty()) return true;
    host = rest;
    if (host.front() != ':') return false;
  } else {
    const auto colon = host.find(':');
    const auto name = host.substr(0, colon);
    char before = '.';
    for (const char c : name) {
      const bool edge = before == '.';
      if (c == '.' || c == '-') {
        if (edge || (c == '.' && before == '-')) return false;
      } else if (!is_word(c) || c == '_') {
        return false;
      }
      before = c;
    }
    if (before == '.' || before == '-') return false;
    if (colon == std::string_view::npos) return true;
    host = host.substr(colon);
  }
  const auto port = host.substr(1);
  return !port.empty() && port.size() <= 5 && port.find_first_not_of("0123456789") == std::string_view::npos;
}

bool looks_like_domain(std::string_view first) {
  return first.find_first_of(".:") != std::string_view::npos || first == "localhost" ||
         std::any_of(first.begin(), first.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
}

}  // namespace

bool is_digest(std::string_view text) {
  std::size_t length = 0;
  if (text.starts_with("sha256:")) length = 64;
  if (text.starts_with("sha512:")) length = 128;
  if (length == 0) return false;
  const auto hex = text.substr(7);
  return hex.size() == length && std::all_of(hex.begin(), hex.end(), is_hex);
}

std::string_view digest_hex(std::string_view digest) {
  const auto colon = digest.find(':');
  return colon == std::string_view::npos ? digest : digest.substr(colon + 1);
}

Result<Reference> parse_reference(std::string_view text) {
  Reference reference;
  std::string_view rest = text;
  if (rest.empty()) return base::make_error(base::ErrorKind::invalid, "invalid reference format: the image name is empty");
  if (const auto at = rest.find('@'); at != std::string_view::npos) {
    reference.digest = rest.substr(at + 1);
    if (!is_digest(reference.digest)) return bad(text, "not a digest after '@'");
    rest = rest.substr(0, at);
  }
  const auto last_slash = rest.rfind('/');
  const auto colon = rest.find(':', last_slash == std::string_view::npos ? 0 : last_slash + 1);
  if (colon != std::string_view::npos) {
    reference.tag = rest.substr(colon + 1);
    if (!is_tag(reference.tag)) return bad(text, "not a tag after ':'");
    rest = rest.substr(0, colon);
  } else if (reference.digest.empty()) {
    reference.tag = "latest";
  }
  const auto slash = rest.find('/');
  if (slash != std::string_view::npos && looks_like_domain(rest.substr(0, slash))) {
    reference.domain = rest.substr(0, slash);
    reference.path = rest.substr(slash + 1);
    if (!is_domain(reference.domain)) return bad(text, "not a registry host");
    if (reference.domain == "index.docker.io") reference.domain = "docker.io";
  } else {
    reference.domain = "docker.io";
    reference.path = rest;
  }
  if (reference.domain == "docker.io" && reference.path.find('/') == std::string::npos && !reference.path.empty())
    reference.path = "library/" + reference.path;
  if (std::any_of(reference.path.begin(), reference.path.end(), [](char c) { return c >= 'A' && c <= 'Z'; }))
    return bad(text, "repository name must be lowercase");
  if (!is_path(reference.path)) return bad(text);
  if (reference.path.size() > 255) return bad(text, "repository name must not be more than 255 characters");
  const bool hex_id = rest.size() == 64 && std::all_of(rest.begin(), rest.end(), is_hex);
  if (hex_id) return bad(text, "64 hexadecimal digits are an image id, not a name");
  return reference;
}

std::string Reference::full() const { return name() + (digest.empty() ? ":" + tag : "@" + digest); }

std::string Reference::familiar_name() const {
  if (domain != "docker.io") return name();
  const auto slash = path.find('/');
  if (slash == std::string::npos) return path;
  const auto first = path.substr(0, slash), rest = path.substr(slash + 1);
  if (first == "library" && rest.find('/') == std::string::npos) return rest;
  // Without its domain this one would be read as another registry's.
  if (first == "localhost" || first.find('.') != std::string::npos) return name();
  return path;
}

std::string Reference::familiar() const { return familiar_name() + (digest.empty() ? ":" + tag : "@" + digest); }

}  // namespace engine::images
