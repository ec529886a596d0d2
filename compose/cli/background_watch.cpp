#include "compose/cli/background_watch.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstring>

#include "base/sys.h"
#include "compose/cli/globals.h"

namespace compose::cli {

using base::Result;

namespace {

constexpr int status_number = 3;
constexpr auto end_limit = std::chrono::seconds(5);

/// The flags before the verb, as they were given to us.
std::vector<std::string> global_words(const std::string& project) {
  const auto& g = globals();
  std::vector<std::string> words{"compose"};
  const auto add = [&](const char* flag, const std::string& value) {
    words.emplace_back(flag);
    words.push_back(value);
  };
  add("--project-name", project);
  add("--progress", "plain");
  add("--ansi", "never");
  for (const auto& file : g.files) add("--file", file);
  for (const auto& file : g.env_files) add("--env-file", file);
  for (const auto& profile : g.profiles) add("--profile", profile);
  if (!g.project_directory.empty()) add("--project-directory", g.project_directory);
  if (g.parallel >= 0) add("--parallel", std::to_string(g.parallel));
  if (g.compatibility_flag) words.emplace_back("--compatibility");
  if (g.all_resources) words.emplace_back("--all-resources");
  return words;
}

}  // namespace

Result<std::unique_ptr<BackgroundWatch>> BackgroundWatch::start(const std::string& project, const std::vector<std::string>& services) {
  ASSIGN_OR_RETURN(auto output, base::sys::pipe());
  ASSIGN_OR_RETURN(auto status, base::sys::pipe());
  base::SpawnOptions options;
  options.program = "/proc/self/exe";
  options.arguments = global_words(project);
  for (const char* word : {"watch", "--no-up", "--"}) options.arguments.emplace_back(word);
  options.arguments.insert(options.arguments.end(), services.begin(), services.end());
  options.environment.emplace();
  for (char** entry = environ; *entry != nullptr; ++entry) options.environment->emplace_back(*entry);
  options.environment->emplace_back(status_variable).append("=").append(std::to_string(status_number));
  options.fds = {{output.second.borrow(), 1}, {output.second.borrow(), 2}, {status.second.borrow(), status_number}};
  ASSIGN_OR_RETURN(auto child, base::ChildProcess::spawn(options));
  return std::unique_ptr<BackgroundWatch>(new BackgroundWatch(std::move(child), std::move(output.first), std::move(status.first)));
}

BackgroundWatch::~BackgroundWatch() {
  output_.reset();  // a write into a full pipe would keep it from ending
  status_.reset();
  (void)child_.kill(SIGTERM).has_value();
  (void)child_.wait(end_limit).has_value();
}

std::vector<std::string> BackgroundWatch::lines() {
  std::array<char, 4096> buffer;
  const auto count = base::sys::read(output_.borrow(), buffer);
  std::vector<std::string> out;
  if (!count || *count == 0) {
    output_.reset();
    status_.reset();
    busy_ = false;
    if (!begun_.empty()) out.push_back(begun_);
    return out;
  }
  begun_.append(buffer.data(), *count);
  for (auto end = begun_.find('\n'); end != std::string::npos; end = begun_.find('\n')) {
    out.push_back(begun_.substr(0, end));
    begun_.erase(0, end + 1);
  }
  return out;
}

bool BackgroundWatch::busy() {
  for (pollfd ready{status_.valid() ? status_.number() : -1, POLLIN, 0}; ::poll(&ready, 1, 0) > 0;) {
    std::array<char, 64> words;
    const auto count = base::sys::read(status_.borrow(), words);
    busy_ = count && *count > 0 && words[*count - 1] == 'b';
    if (!count || *count == 0) status_.reset();
    ready.fd = status_.valid() ? status_.number() : -1;
  }
  return busy_;
}

}  // namespace compose::cli
