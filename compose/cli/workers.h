#pragma once
// compose-image as a child: pulls, pushes and builds happen there, several at once.
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace compose::cli {

struct Job {
  std::vector<std::string> arguments;                    ///< after the program's name
  std::string input;                                     ///< what it reads on standard input
  bool our_input = false, our_output = false;            ///< it gets our own standard input or output instead (`cp -`, `export`)
  std::vector<std::size_t> after;                        ///< indexes of jobs that must have succeeded first
  std::function<void()> on_start;
  std::function<void(const std::string& line)> on_line;  ///< of its standard output, without the newline
  /// Code 0 and no error text = success. `errors`: what it wrote on standard error, without the last newline.
  std::function<void(int code, const std::string& errors)> on_end;
};

struct WorkersOptions {
  long parallel = -1;                                    ///< at most so many at once; -1 = no limit
  std::function<void()> on_tick;                         ///< a few times a second
  bool keep_going = false;                               ///< a failure does not stop the others
};

/// Runs all jobs. Returns true when every one ended with code 0. Error cancelled after Ctrl-C: the workers got SIGINT and have ended.
base::Result<bool> run_workers(std::vector<Job> jobs, const WorkersOptions& options);

/// Replaces this process by compose-image: for verbs that are entirely its own. Returns only on failure.
base::Error become_image_program(const std::vector<std::string>& arguments);

}  // namespace compose::cli
