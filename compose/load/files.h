#pragma once
// Everything the loader reads comes through a FileReader, so that tests run in memory and nothing is opened behind its back.
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace compose::load {

class FileReader {
 public:
  virtual ~FileReader() = default;
  /// The whole file; `not_found` and other errors as base::ErrorKind. "-" is standard input.
  virtual base::Result<std::string> read(const std::string& path) const = 0;
  virtual bool exists(const std::string& path) const = 0;
  virtual bool is_directory(const std::string& path) const = 0;
  /// What a symbolic link leads to in the end, "" when nowhere; empty when `path` is none.
  virtual std::optional<std::string> link_target(const std::string& path) const;
  /// A remote Compose file (is_remote()) as the path of a local copy. Blocks on the network.
  /// Errors: unsupported when this reader has no way to fetch; unavailable when it could not be had.
  virtual base::Result<std::string> fetch(const std::string& reference) const;
};

/// "oci://…", "git://…", "ssh://…", "git@host:…", "https://….git" (with "#ref:folder"), "github.com/…": not a path here.
bool is_remote(std::string_view reference);

/// The machine's files. Refuses files larger than 64 MiB and anything that is no regular file, FIFO or "-".
std::unique_ptr<FileReader> system_files();

/// Files by absolute path, for tests. A path is a directory when a file lies below it.
std::unique_ptr<FileReader> memory_files(std::map<std::string, std::string> files);

}  // namespace compose::load
