#pragma once
// Git repositories as build contexts and for ADD, fetched by the machine's git.
// Source: docs.docker.com/build/concepts/context "Git repositories": URL[#REF[:FOLDER]].
#include <filesystem>
#include <string>

#include "engine/build/session.h"

namespace engine::build {

struct GitSource {
  std::string repository;
  std::string reference;   ///< branch, tag or commit; "" = the default branch
  std::string folder;      ///< below the repository's root; "" = the root
};

/// "git://…", "ssh://…", "git@host:path", "https://….git", each with "#ref:folder".
bool is_git(const std::string& text);
/// Errors: invalid (something git would take for an option; a folder that leaves the repository).
Result<GitSource> parse_git(const std::string& text);

struct GitCheckout {
  std::filesystem::path folder;
  std::string commit;
};
/// Fetches one commit, without its history. Submodules are fetched too. `keep_git_dir`: leave .git in place.
/// Errors: unsupported (git is not installed); unavailable (git's last words).
Result<GitCheckout> fetch_git(Session& session, const GitSource& source, bool keep_git_dir);

}  // namespace engine::build
