#pragma once
// Folders and files watched for changes, with all that is or comes to be below them. Source: inotify(7).
#include <filesystem>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace compose::cli {

class FileWatch {
 public:
  /// Folders for which it is true are not entered.
  using Skip = std::function<bool(const std::string& path)>;
  static base::Result<FileWatch> open(Skip skip);

  /// Watches `root`, an absolute path; what does not exist yet is waited for. Errors: exhausted, naming the limit of the kernel.
  base::Result<> add(const std::string& root);
  /// Readable when something changed.
  [[nodiscard]] base::Fd fd() const { return inotify_.borrow(); }
  /// The files and folders that changed, appeared or went since the last call, those of new folders included. Never blocks. When the
  /// kernel lost count, all that there is.
  base::Result<std::set<std::string>> take();
  /// Every file below the roots.
  [[nodiscard]] std::set<std::string> files() const;

 private:
  explicit FileWatch(base::UniqueFd inotify, Skip skip) : inotify_(std::move(inotify)), skip_(std::move(skip)) {}
  base::Result<> watch_folder(const std::string& path);
  base::Result<> watch_tree(const std::string& path, std::set<std::string>* found);
  base::Result<> on_new_folder(const std::string& path, std::set<std::string>& changed);
  void forget(const std::string& path);
  void list(const std::string& path, std::set<std::string>& found) const;

  base::UniqueFd inotify_;
  Skip skip_;
  std::set<std::string> roots_;
  std::map<int, std::string> folders_;
};

/// True for `path` itself and what is below it.
bool is_below(const std::string& path, const std::string& folder);

}  // namespace compose::cli
