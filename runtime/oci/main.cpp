// compose-runtime: the command line. See runtime/README.md for the contract.
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>

#include "base/log.h"
#include "base/sys.h"
#include "runtime/linux/process.h"
#include "runtime/linux/self_protection.h"
#include "runtime/linux/sync.h"
#include "runtime/oci/logging.h"
#include "runtime/oci/print.h"
#include "runtime/oci/verbs.h"

namespace {

using namespace runtime::oci;

constexpr Flag global_flags[] = {
    {0, "root", "DIR", "state folder (default /run/compose-runtime)"},
    {0, "log", "FILE", "append messages there too"},
    {0, "log-format", "text|json", "their format"},
    {0, "log-level", "LEVEL", "error, warning, info or debug"},
    {0, "debug", "", "log more"},
    {0, "systemd-cgroup", "", "let systemd make the cgroup: cgroupsPath is SLICE:PREFIX:NAME"},
    {0, "cgroup-manager", "NAME", "cgroupfs, systemd (as --systemd-cgroup), or disabled: no cgroups and no limits"},
    {0, "rootless", "BOOL", "accepted: found out by itself"},
    {0, "command-codes", "", "exit as a shell does when the program is not found (127) or not executable (126)"},
    {'v', "version", "", "print the version"},
    {'h', "help", "", "print this"},
};

/// The last line is crun's: what this program has, for scripts that ask before they use it.
constexpr std::string_view version_text =
    "compose-runtime version 0.1.0\nspec: 1.2.1\n+SYSTEMD +SELINUX +APPARMOR +CAP +SECCOMP +EBPF\n";

/// The name we were called by, as usage texts have it: somebody may have installed this program as `crun` or `runc`.
std::string program_name = "compose-runtime";

/// Layout of runc's help, with crun's line of usage below.
std::string usage_head(const std::string& name, std::string_view help, std::string_view words) {
  return "NAME:\n   " + name + " - " + std::string(help) + "\n\nUsage: " + program_name + " [OPTION...] " + std::string(words) + "\n";
}

std::string usage() {
  std::string out = usage_head(program_name, "Open Container Initiative runtime: starts containers from bundles", "COMMAND [OPTION...]") +
                    "\nVerbs:\n";
  for (const Verb& verb : verbs()) {
    std::string line = "  " + std::string(verb.name);
    line.resize(14, ' ');
    out += line + std::string(verb.help) + "\n";
  }
  return out + "\nFlags:\n" + help_of(global_flags) +
         "\nExit status: 0 done · 1 error · run and exec: the program's code, 128 + signal; exec: 255 error\n";
}

std::string usage_of(const Verb& verb) {
  const std::string name(verb.name);
  std::string out = usage_head(program_name + " " + name, verb.help, name + " " + std::string(verb.usage));
  if (!verb.flags.empty()) out += "\n" + help_of(verb.flags);
  return out;
}

std::string default_root() {
  if (::geteuid() == 0) return "/run/compose-runtime";
  const char* runtime_dir = std::getenv("XDG_RUNTIME_DIR");
  return (runtime_dir ? std::string(runtime_dir) : "/tmp/compose-runtime-" + std::to_string(::geteuid())) + "/compose-runtime";
}

base::Error invalid(std::string what) { return base::make_error(base::ErrorKind::invalid, std::move(what)); }

base::Result<Global> read_global(const Arguments& arguments) {
  Global global;
  global.root_given = arguments.has("root");
  global.root = arguments.has("root") ? arguments.value("root") : default_root();
  if (!global.root.starts_with('/')) {
    char here[4096];
    if (!::getcwd(here, sizeof here)) return base::errno_error(errno, "getcwd");
    global.root = std::string(here) + "/" + global.root;
  }
  if (arguments.has("systemd-cgroup")) global.cgroups = CgroupManager::systemd;
  const auto manager = arguments.value("cgroup-manager");
  if (manager == "disabled")
    global.cgroups = CgroupManager::disabled;
  else if (manager == "systemd")
    global.cgroups = CgroupManager::systemd;
  else if (!manager.empty() && manager != "cgroupfs")
    return base::make_error(base::ErrorKind::unsupported, "--cgroup-manager: '" + manager + "' is not cgroupfs, systemd or disabled");
  return global;
}

/// Exit codes of failures of our own.
struct ErrorCodes {
  int any = 1;                ///< runc's: exec keeps clear of the program's
  bool by_command = false;    ///< 127 and 126 where they fit: --command-codes
};

base::Result<int> run_verb(const Verb& verb, const Global& global, std::span<const std::string> words) {
  const bool help_first = !words.empty() && (words.front() == "--help" || words.front() == "-h");
  if (help_first || (std::ranges::find(words, std::string("--help")) != words.end() && !verb.stop_at_positional)) {
    TRY(print(usage_of(verb)));
    return 0;
  }
  // Not for a flag we don't know: the answer is that the verb does not work.
  if (verb.run == verb_refused) return verb_refused(global, {});
  ASSIGN_OR_RETURN(const auto arguments, parse_arguments(words, verb.flags, verb.stop_at_positional));
  if (arguments.positional.size() < verb.positional_min || arguments.positional.size() > verb.positional_max)
    return invalid("usage: " + program_name + " [OPTION...] " + std::string(verb.name) + " " + std::string(verb.usage));
  return verb.run(global, arguments);
}

base::Result<int> dispatch(std::span<const std::string> words, ErrorCodes& codes) {
  ASSIGN_OR_RETURN(auto arguments, parse_arguments(words, global_flags, true));
  if (arguments.has("version")) {
    TRY(print(version_text));
    return 0;
  }
  if (arguments.has("help") || arguments.positional.empty() || arguments.positional.front() == "help") {
    TRY(print(usage()));
    return arguments.has("help") || !arguments.positional.empty() ? 0 : 1;
  }
  TRY(configure_log({.file = arguments.value("log"), .format = arguments.value("log-format"),
                     .level = arguments.has("debug") ? "debug" : arguments.value("log-level")}));
  const std::string name = arguments.positional.front();
  const auto all = verbs();
  const auto verb = std::ranges::find(all, name, &Verb::name);
  if (verb == all.end()) {
    const bool asks = arguments.positional.size() > 1 && (arguments.positional[1] == "-h" || arguments.positional[1] == "--help");
    return invalid(asks ? "No help topic for '" + name + "'" : "unknown verb '" + name + "'");
  }
  codes = {.any = name == "exec" ? 255 : 1, .by_command = arguments.has("command-codes")};
  ASSIGN_OR_RETURN(const Global global, read_global(arguments));
  return run_verb(*verb, global, std::span(arguments.positional).subspan(1));
}

}  // namespace

int main(int argc, char** argv) {
  // Descriptors 0 to 2 are always there: an accidental 0 for a state file would reach the container.
  runtime::oci::ensure_standard_streams();
  runtime::remember_command_line(argc, argv);
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (argc > 0 && *argv[0]) program_name = std::string_view(argv[0]).substr(std::string_view(argv[0]).rfind('/') + 1);
  ErrorCodes codes;
  auto done = runtime::protect_own_file(argv);
  if (!done) {
    runtime::oci::report_error(done.error());
    return codes.any;
  }
  auto code = dispatch(words, codes);
  if (code) return *code;
  base::Error error = std::move(code).error();
  const int number = runtime::take_exit_code(error, codes.any);
  runtime::oci::report_error(error);
  return codes.by_command ? number : codes.any;
}
