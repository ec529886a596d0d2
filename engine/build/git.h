#pragma once
// Git repositories as build contexts and for ADD, fetched by the machine's git.
// Source: docs.docker.com/build/concepts/context "Git repositories": URL[#REF[:FOLDER]] or URL?ref=REF&subdir=FOLDER….
#include <filesystem>
#include <string>

#include "engine/build/session.h"

namespace engine::build {

struct GitSource {
  std::string repository;
  std::string reference;   ///< branch, tag or commit; "" = the default branch
  std::string folder;      ///< below the repository's root; "" = the root
  std::string checksum;    ///< what the commit (or an annotated tag's object) must begin with; "" = anything
  bool submodules = true, keep_git_dir = false;
};

/// "git://…", "ssh://…", "git@host:path", "https://….git", each with "#ref:folder" or a query (ref, branch, tag, subdir, checksum,
/// commit, keep-git-dir, submodules).
bool is_git(const std::string& text);
/// Errors: invalid (something git would take for an option; an unknown or contradictory query). A folder stays below the root.
Result<GitSource> parse_git(const std::string& text);
/// What --checksum asks for; a whole commit without another reference is also what is fetched. Error invalid: contradictory.
Result<> expect_commit(GitSource& source, const std::string& checksum);

struct GitCheckout {
  std::filesystem::path folder;
  std::string commit;
};
/// Fetches one commit, without its history. Files have the modes 0644 and 0755.
/// Errors: unsupported (git is not installed); unavailable (git's last words); invalid (another commit than expected); not_found (folder).
Result<GitCheckout> fetch_git(Session& session, const GitSource& source);

}  // namespace engine::build
