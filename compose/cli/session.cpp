#include "compose/cli/session.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include "compose/cli/interrupts.h"
#include "compose/cli/output.h"
#include "compose/cli/terminal.h"

namespace compose::cli {

using base::Result;
using namespace engine;

namespace {

void signal_container(const SessionOptions& options, const char* signal) {
  Plan plan;
  plan.steps.push_back({.action = action::KillContainer{options.container, signal}, .reason = "signal of the user", .hazard = Hazard::none, .after = {}});
  if (const auto done = client::execute(options.project, plan, {}); !done) err(done.error().text() + "\n");
}

}  // namespace

Result<std::string> parse_detach_keys(const std::string& text) {
  std::string keys;
  std::size_t at = 0;
  while (at <= text.size() && !text.empty()) {
    const auto end = std::min(text.find(',', at), text.size());
    const std::string key = text.substr(at, end - at);
    if (key.size() == 1) {
      keys += key;
    } else if (key.size() == 6 && key.starts_with("ctrl-") && ((key[5] >= '@' && key[5] <= '_') || (key[5] >= 'a' && key[5] <= 'z'))) {
      keys += static_cast<char>(key[5] & 0x1f);
    } else {
      return base::make_error(base::ErrorKind::invalid, "invalid detach keys (" + text + "): unknown character: '" + key + "'");
    }
    at = end + 1;
  }
  return keys;
}

Result<int> run_session(client::Attachment& attachment, const SessionOptions& options) {
  ASSIGN_OR_RETURN(auto interrupts, Interrupts::make(0));
  client::AttachOptions attach;
  if (options.input) attach.input = base::Fd(STDIN_FILENO);
  attach.output = base::Fd(STDOUT_FILENO);
  attach.error = base::Fd(STDERR_FILENO);
  if (!options.detach_keys.empty()) {
    ASSIGN_OR_RETURN(attach.detach_keys, parse_detach_keys(options.detach_keys));
  }
  attach.interrupt = interrupts.fd();
  int signals = 0;
  attach.on_interrupt = [&] {
    using Next = client::AttachOptions::Next;
    auto next = Next::go_on;
    for (auto wake = interrupts.next(); wake != Wake::none; wake = interrupts.next()) {
      if (wake == Wake::resized) next = Next::resized;
      if (wake != Wake::interrupt && wake != Wake::terminate) continue;
      if (!options.forward_signals) return Next::detach;
      // A container that does not listen must not hold the user for ever.
      signal_container(options, ++signals > 2 ? "SIGKILL" : wake == Wake::interrupt ? "SIGINT" : "SIGTERM");
    }
    return next;
  };
  std::optional<RawTerminal> raw;
  if (options.tty && options.input) raw.emplace();
  winsize size{};
  if (options.tty && ::ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 0) {
    (void)client::resize(options.project, options.container, size.ws_row, size.ws_col).has_value();
  }
  ASSIGN_OR_RETURN(const auto result, attachment.run(attach));
  if (result.detached) return 0;
  if (!result.exit_code) err(options.container + " has ended; with what exit code is not known\n");
  return result.exit_code.value_or(1);
}

}  // namespace compose::cli
