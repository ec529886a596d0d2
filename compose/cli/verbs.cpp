// Names, letters and help texts are Docker Compose 2.40.3's; what is ours is marked.
#include "compose/cli/verbs.h"

namespace compose::cli {
namespace {

constexpr auto boolean = FlagKind::boolean;
constexpr auto text = FlagKind::text;
constexpr auto number = FlagKind::number;
constexpr auto list = FlagKind::list;

constexpr Flag dry_run{"dry-run", 0, boolean, "Execute command in dry run mode"};
constexpr Flag index_flag{"index", 0, number, "Index of the container if service has multiple replicas"};
constexpr Flag format_flag{"format", 0, text, "Format output: 'table', 'table TEMPLATE', 'json' or a Go template", "", "table"};
constexpr Flag orphans_flag{"remove-orphans", 0, boolean, "Remove containers for services not defined in the Compose file"};
constexpr Flag timeout_flag{"timeout", 't', number, "Specify a shutdown timeout in seconds"};
constexpr Flag quiet_pull{"quiet-pull", 0, boolean, "Pull without printing progress information"};
constexpr Flag quiet_build{"quiet-build", 0, boolean, "Suppress the build output"};
constexpr Flag yes_flag{"yes", 'y', boolean, "Assume \"yes\" as answer to all prompts and run non-interactively"};
constexpr Flag scale_flag{"scale", 0, list, "Scale SERVICE to NUM instances. Overrides the scale setting in the Compose file if present.", "scale"};
constexpr Flag pull_flag{"pull", 0, text, "Pull image before running (\"always\"|\"missing\"|\"never\")", "", "policy"};

constexpr Flag global[] = {
    {"all-resources", 0, boolean, "Include all resources, even those not used by services"},
    {"ansi", 0, text, "Control when to print ANSI control characters (\"never\"|\"always\"|\"auto\")", "", "auto"},
    {"compatibility", 0, boolean, "Run compose in backward compatibility mode"},
    dry_run,
    {"env-file", 0, list, "Specify an alternate environment file"},
    {"file", 'f', list, "Compose configuration files"},
    {"parallel", 0, number, "Control max parallelism, -1 for unlimited", "", "-1"},
    {"profile", 0, list, "Specify a profile to enable"},
    {"progress", 0, text, "Set type of progress output (auto, tty, plain, json, quiet)"},
    {"project-directory", 0, text, "Specify an alternate working directory (default: the path of the, first specified, Compose file)"},
    {"project-name", 'p', text, "Project name"},
    {"workdir", 0, text, "Alias of --project-directory", "", "", "", true},
    {"no-ansi", 0, boolean, "Alias of --ansi never", "", "", "", true},
    {"verbose", 0, boolean, "Show more output", "", "", "", true},
    {"version", 'v', boolean, "Show the version", "", "", "", true},
};

constexpr Flag up_flags[] = {
    {"abort-on-container-exit", 0, boolean, "Stops all containers if any container was stopped. Incompatible with -d"},
    {"abort-on-container-failure", 0, boolean, "Stops all containers if any container exited with failure. Incompatible with -d"},
    {"always-recreate-deps", 0, boolean, "Recreate dependent containers. Incompatible with --no-recreate."},
    {"attach", 0, list, "Restrict attaching to the specified services. Incompatible with --attach-dependencies."},
    {"attach-dependencies", 0, boolean, "Automatically attach to log output of dependent services"},
    {"build", 0, boolean, "Build images before starting containers"},
    {"detach", 'd', boolean, "Detached mode: Run containers in the background"},
    dry_run,
    {"exit-code-from", 0, text, "Return the exit code of the selected service container. Implies --abort-on-container-exit"},
    {"force-recreate", 0, boolean, "Recreate containers even if their configuration and image haven't changed"},
    {"menu", 0, boolean, "Enable interactive shortcuts when running attached. Incompatible with --detach. Can also be enable/disable by setting COMPOSE_MENU environment var."},
    {"no-attach", 0, list, "Do not attach (stream logs) to the specified services"},
    {"no-build", 0, boolean, "Don't build an image, even if it's policy"},
    {"no-color", 0, boolean, "Produce monochrome output"},
    {"no-deps", 0, boolean, "Don't start linked services"},
    {"no-log-prefix", 0, boolean, "Don't print prefix in logs"},
    {"no-recreate", 0, boolean, "If containers already exist, don't recreate them. Incompatible with --force-recreate."},
    {"no-start", 0, boolean, "Don't start the services after creating them"},
    pull_flag, quiet_build, quiet_pull, orphans_flag,
    {"renew-anon-volumes", 'V', boolean, "Recreate anonymous volumes instead of retrieving data from the previous containers"},
    scale_flag,
    {"timeout", 't', number, "Use this timeout in seconds for container shutdown when attached or when containers are already running"},
    {"timestamps", 0, boolean, "Show timestamps"},
    {"wait", 0, boolean, "Wait for services to be running|healthy. Implies detached mode."},
    {"wait-timeout", 0, number, "Maximum duration in seconds to wait for the project to be running|healthy"},
    {"watch", 'w', boolean, "Watch source code and rebuild/refresh containers when files are updated."},
    yes_flag,
};
constexpr Flag create_flags[] = {
    {"build", 0, boolean, "Build images before starting containers"},
    dry_run,
    {"force-recreate", 0, boolean, "Recreate containers even if their configuration and image haven't changed"},
    {"no-build", 0, boolean, "Don't build an image, even if it's policy"},
    {"no-recreate", 0, boolean, "If containers already exist, don't recreate them. Incompatible with --force-recreate."},
    {"pull", 0, text, "Pull image before running (\"always\"|\"missing\"|\"never\"|\"build\")", "", "policy"},
    quiet_pull, orphans_flag, scale_flag, yes_flag,
};
constexpr Flag plan_flags[] = {
    {"detailed-exitcode", 0, boolean, "Exit with 2 when there is something to do"},
    {"force-recreate", 0, boolean, "As up"},
    {"format", 0, text, "Format the output: text | json", "", "text"},
    {"no-deps", 0, boolean, "As up"},
    {"no-recreate", 0, boolean, "As up"},
    orphans_flag, scale_flag,
};
constexpr Flag history_flags[] = {{"format", 0, text, "Format the output: table | json", "", "table"}, {"quiet", 'q', boolean, "Only display numbers"}};
constexpr Flag scale_flags[] = {dry_run, {"no-deps", 0, boolean, "Don't start linked services"}};
constexpr Flag down_flags[] = {
    dry_run, orphans_flag,
    {"rmi", 0, text, "Remove images used by services. \"local\" remove only images that don't have a custom tag (\"local\"|\"all\")"},
    timeout_flag,
    {"volumes", 'v', boolean, "Remove named volumes declared in the \"volumes\" section of the Compose file and anonymous volumes attached to containers"},
};
constexpr Flag only_dry_run[] = {dry_run};
constexpr Flag stop_flags[] = {dry_run, timeout_flag};
constexpr Flag restart_flags[] = {dry_run, {"no-deps", 0, boolean, "Don't restart dependent services"}, timeout_flag};
constexpr Flag kill_flags[] = {dry_run, orphans_flag, {"signal", 's', text, "SIGNAL to send to the container", "", "SIGKILL"}};
constexpr Flag rm_flags[] = {
    dry_run,
    {"force", 'f', boolean, "Don't ask to confirm removal"},
    {"stop", 's', boolean, "Stop the containers, if required, before removing"},
    {"volumes", 'v', boolean, "Remove any anonymous volumes attached to containers"},
    {"all", 'a', boolean, "Deprecated - no effect", "", "", "", true},
};
constexpr Flag wait_flags[] = {{"down-project", 0, boolean, "Drops project when the first container stops"}, dry_run};
constexpr Flag ps_flags[] = {
    {"all", 'a', boolean, "Show all stopped containers (including those created by the run command)"},
    dry_run,
    {"filter", 0, list, "Filter services by a property (supported filters: status)", "string"},
    format_flag,
    {"no-trunc", 0, boolean, "Don't truncate output"},
    {"orphans", 0, boolean, "Include orphaned services (not declared by project)", "", "true"},
    {"quiet", 'q', boolean, "Only display IDs"},
    {"services", 0, boolean, "Display services"},
    {"status", 0, list, "Filter services by status. Values: [paused | restarting | removing | running | dead | created | exited]"},
};
constexpr Flag ls_flags[] = {
    {"all", 'a', boolean, "Show all stopped Compose projects"},
    dry_run,
    {"filter", 0, list, "Filter output based on conditions provided", "filter"},
    {"format", 0, text, "Format the output. Values: [table | json]", "", "table"},
    {"quiet", 'q', boolean, "Only display project names"},
};
constexpr Flag images_flags[] = {dry_run, {"format", 0, text, "Format the output. Values: [table | json]", "", "table"}, {"quiet", 'q', boolean, "Only display IDs"}};
constexpr Flag port_flags[] = {dry_run, index_flag, {"protocol", 0, text, "tcp or udp", "", "tcp"}};
constexpr Flag stats_flags[] = {
    {"all", 'a', boolean, "Show all containers (default shows just running)"},
    dry_run, format_flag,
    {"no-stream", 0, boolean, "Disable streaming stats and only pull the first result"},
    {"no-trunc", 0, boolean, "Do not truncate output"},
};
constexpr Flag volumes_flags[] = {dry_run, format_flag, {"quiet", 'q', boolean, "Only display volume names"}};
constexpr Flag version_flags[] = {
    dry_run,
    {"format", 'f', text, "Format the output. Values: [pretty | json]. (Default: pretty)"},
    {"short", 0, boolean, "Shows only Compose's version number"},
};
constexpr Flag logs_flags[] = {
    dry_run,
    {"follow", 'f', boolean, "Follow log output"},
    {"index", 0, number, "index of the container if service has multiple replicas"},
    {"no-color", 0, boolean, "Produce monochrome output"},
    {"no-log-prefix", 0, boolean, "Don't print prefix in logs"},
    {"since", 0, text, "Show logs since timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"},
    {"tail", 'n', text, "Number of lines to show from the end of the logs for each container", "", "all"},
    {"timestamps", 't', boolean, "Show timestamps"},
    {"until", 0, text, "Show logs before a timestamp (e.g. 2013-01-02T13:23:37Z) or relative (e.g. 42m for 42 minutes)"},
};
constexpr Flag events_flags[] = {
    dry_run,
    {"json", 0, boolean, "Output events as a stream of json objects"},
    {"since", 0, text, "Show all events created since timestamp"},
    {"until", 0, text, "Stream events until this timestamp"},
};
constexpr Flag exec_flags[] = {
    {"detach", 'd', boolean, "Detached mode: Run command in the background"},
    dry_run,
    {"env", 'e', list, "Set environment variables"},
    index_flag,
    {"no-tty", 'T', boolean, "Disable pseudo-TTY allocation. By default 'compose exec' allocates a TTY."},
    {"privileged", 0, boolean, "Give extended privileges to the process"},
    {"user", 'u', text, "Run the command as this user"},
    {"workdir", 'w', text, "Path to workdir directory for this command"},
    {"interactive", 'i', boolean, "Keep STDIN open even if not attached", "", "true", "", true},
    {"tty", 't', boolean, "Allocate a pseudo-TTY", "", "true", "", true},
};
constexpr Flag attach_flags[] = {
    {"detach-keys", 0, text, "Override the key sequence for detaching from a container."},
    dry_run, index_flag,
    {"no-stdin", 0, boolean, "Do not attach STDIN"},
    {"sig-proxy", 0, boolean, "Proxy all received signals to the process", "", "true"},
};
constexpr Flag run_flags[] = {
    {"build", 0, boolean, "Build image before starting container"},
    {"cap-add", 0, list, "Add Linux capabilities", "list"},
    {"cap-drop", 0, list, "Drop Linux capabilities", "list"},
    {"detach", 'd', boolean, "Run container in background and print container ID"},
    dry_run,
    {"entrypoint", 0, text, "Override the entrypoint of the image"},
    {"env", 'e', list, "Set environment variables"},
    {"env-from-file", 0, list, "Set environment variables from file"},
    {"interactive", 'i', boolean, "Keep STDIN open even if not attached", "", "true"},
    {"label", 'l', list, "Add or override a label"},
    {"name", 0, text, "Assign a name to the container"},
    {"no-TTY", 'T', boolean, "Disable pseudo-TTY allocation (default: auto-detected)"},
    {"no-deps", 0, boolean, "Don't start linked services"},
    {"publish", 'p', list, "Publish a container's port(s) to the host"},
    pull_flag,
    {"quiet", 'q', boolean, "Don't print anything to STDOUT"},
    quiet_build, quiet_pull, orphans_flag,
    {"rm", 0, boolean, "Automatically remove the container when it exits"},
    {"service-ports", 'P', boolean, "Run command with all service's ports enabled and mapped to the host"},
    {"use-aliases", 0, boolean, "Use the service's network useAliases in the network(s) the container connects to"},
    {"user", 'u', text, "Run as specified username or uid"},
    {"volume", 'v', list, "Bind mount a volume"},
    {"workdir", 'w', text, "Working directory inside the container"},
    {"tty", 't', boolean, "Allocate a pseudo-TTY", "", "true", "", true},
};
constexpr Flag build_flags[] = {
    {"build-arg", 0, list, "Set build-time variables for services"},
    {"builder", 0, text, "Set builder to use"},
    {"check", 0, boolean, "Check build configuration"},
    dry_run,
    {"memory", 'm', text, "Set memory limit for the build container. Not supported by BuildKit.", "bytes"},
    {"no-cache", 0, boolean, "Do not use cache when building the image"},
    {"print", 0, boolean, "Print equivalent bake file"},
    {"provenance", 0, text, "Add a provenance attestation"},
    {"pull", 0, boolean, "Always attempt to pull a newer version of the image"},
    {"push", 0, boolean, "Push service images"},
    {"quiet", 'q', boolean, "Suppress the build output"},
    {"sbom", 0, text, "Add a SBOM attestation"},
    {"ssh", 0, list, "Set SSH authentications used when building service images. (use 'default' for using your default SSH Agent)"},
    {"with-dependencies", 0, boolean, "Also build dependencies (transitively)"},
};
constexpr Flag pull_flags[] = {
    dry_run,
    {"ignore-buildable", 0, boolean, "Ignore images that can be built"},
    {"ignore-pull-failures", 0, boolean, "Pull what it can and ignores images with pull failures"},
    {"include-deps", 0, boolean, "Also pull services declared as dependencies"},
    {"policy", 0, text, "Apply pull policy (\"missing\"|\"always\")"},
    {"quiet", 'q', boolean, "Pull without printing progress information"},
};
constexpr Flag push_flags[] = {
    dry_run,
    {"ignore-push-failures", 0, boolean, "Push what it can and ignores images with push failures"},
    {"include-deps", 0, boolean, "Also push images of services declared as dependencies"},
    {"quiet", 'q', boolean, "Push without printing progress information"},
};
constexpr Flag publish_flags[] = {
    {"app", 0, boolean, "Published compose application (includes referenced images)"},
    dry_run,
    {"oci-version", 0, text, "OCI image/artifact specification version (automatically determined by default)"},
    {"resolve-image-digests", 0, boolean, "Pin image tags to digests"},
    {"with-env", 0, boolean, "Include environment variables in the published OCI artifact"},
    {"yes", 'y', boolean, "Assume \"yes\" as answer to all prompts"},
};
constexpr Flag config_flags[] = {
    dry_run,
    {"environment", 0, boolean, "Print environment used for interpolation."},
    {"explain", 0, text, "Say where the values at PATH, such as services.web.image, come from (ours)", "PATH"},
    {"format", 0, text, "Format the output. Values: [yaml | json]"},
    {"hash", 0, text, "Print the service config hash, one per line."},
    {"images", 0, boolean, "Print the image names, one per line."},
    {"lock-image-digests", 0, boolean, "Produces an override file with image digests"},
    {"models", 0, boolean, "Print the model names, one per line."},
    {"networks", 0, boolean, "Print the network names, one per line."},
    {"no-consistency", 0, boolean, "Don't check model consistency - warning: may produce invalid Compose output"},
    {"no-env-resolution", 0, boolean, "Don't resolve service env files"},
    {"no-interpolate", 0, boolean, "Don't interpolate environment variables"},
    {"no-normalize", 0, boolean, "Don't normalize compose model"},
    {"no-path-resolution", 0, boolean, "Don't resolve file paths"},
    {"output", 'o', text, "Save to file (default to stdout)"},
    {"profiles", 0, boolean, "Print the profile names, one per line."},
    {"quiet", 'q', boolean, "Only validate the configuration, don't print anything"},
    {"resolve-image-digests", 0, boolean, "Pin image tags to digests"},
    {"services", 0, boolean, "Print the service names, one per line."},
    {"variables", 0, boolean, "Print model variables and default values."},
    {"volumes", 0, boolean, "Print the volume names, one per line."},
};
constexpr Flag env_flags[] = {
    dry_run,
    {"explain", 0, text, "Say where a variable is set and where the Compose files use it", "NAME"},
};
constexpr Flag cp_flags[] = {
    {"all", 0, boolean, "Include containers created by the run command"},
    {"archive", 'a', boolean, "Archive mode (copy all uid/gid information)"},
    dry_run,
    {"follow-link", 'L', boolean, "Always follow symbol link in SRC_PATH"},
    index_flag,
};
constexpr Flag export_flags[] = {dry_run, index_flag, {"output", 'o', text, "Write to a file, instead of STDOUT"}};
constexpr Flag commit_flags[] = {
    {"author", 'a', text, "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")"},
    {"change", 'c', list, "Apply Dockerfile instruction to the created image", "list"},
    dry_run, index_flag,
    {"message", 'm', text, "Commit message"},
    {"pause", 'p', boolean, "Pause container during commit", "", "true"},
};

constexpr Flag watch_flags[] = {
    dry_run,
    {"no-up", 0, boolean, "Do not build & start services before watching"},
    {"prune", 0, boolean, "Prune dangling images on rebuild", "", "true"},
    {"quiet", 0, boolean, "hide build output"},
};

constexpr std::string_view services_usage = "[OPTIONS] [SERVICE...]";
constexpr std::size_t any = ~std::size_t{0};

const Verb table[] = {
    {"attach", "[OPTIONS] SERVICE", "Attach local standard input, output, and error streams to a service's running container", attach_flags, run_attach, true, 1, 1},
    {"build", services_usage, "Build or rebuild services", build_flags, run_build},
    {"commit", "[OPTIONS] SERVICE [REPOSITORY[:TAG]]", "Create a new image from a service container's changes", commit_flags, run_commit, true, 1, 2},
    {"config", services_usage, "Parse, resolve and render compose file in canonical format", config_flags, run_config},
    {"convert", services_usage, "Alias of config", config_flags, run_config, true, 0, any, "", true},
    {"cp", "[OPTIONS] SERVICE:SRC_PATH DEST_PATH|-\n\tcompose cp [OPTIONS] SRC_PATH|- SERVICE:DEST_PATH", "Copy files/folders between a service container and the local filesystem", cp_flags, run_cp, true, 2, 2},
    {"create", services_usage, "Creates containers for a service", create_flags, run_create},
    {"down", "[OPTIONS] [SERVICES]", "Stop and remove containers, networks", down_flags, run_down},
    {"env", "[OPTIONS]", "Print the environment the Compose files see (ours)", env_flags, run_env, true, 0, 0},
    {"events", services_usage, "Receive real time events from containers", events_flags, run_events},
    {"exec", "[OPTIONS] SERVICE COMMAND [ARGS...]", "Execute a command in a running container", exec_flags, run_exec, false, 2},
    {"export", "[OPTIONS] SERVICE", "Export a service container's filesystem as a tar archive", export_flags, run_export, true, 1},
    {"history", "[OPTIONS]", "List the generations `up` recorded (ours)", history_flags, run_history, true, 0, 0},
    {"images", services_usage, "List images used by the created containers", images_flags, run_images},
    {"kill", services_usage, "Force stop service containers", kill_flags, run_kill},
    {"logs", services_usage, "View output from containers", logs_flags, run_logs},
    {"ls", "[OPTIONS]", "List running compose projects", ls_flags, run_ls, true, 0, 0},
    {"pause", "[SERVICE...]", "Pause services", only_dry_run, run_pause},
    {"plan", services_usage, "Show what `up` would do, and why (ours)", plan_flags, run_plan},
    {"port", "[OPTIONS] SERVICE PRIVATE_PORT", "Print the public port for a port binding", port_flags, run_port, true, 2, 2},
    {"ps", services_usage, "List containers", ps_flags, run_ps},
    {"publish", "[OPTIONS] REPOSITORY[:TAG]", "Publish compose application", publish_flags, run_publish, true, 1, 1},
    {"pull", services_usage, "Pull service images", pull_flags, run_pull},
    {"push", services_usage, "Push service images", push_flags, run_push},
    {"restart", services_usage, "Restart service containers", restart_flags, run_restart},
    {"rm", services_usage, "Removes stopped service containers", rm_flags, run_rm},
    {"run", "[OPTIONS] SERVICE [COMMAND] [ARGS...]", "Run a one-off command on a service", run_flags, run_run, false, 1},
    {"scale", "[SERVICE=REPLICAS...]", "Scale services ", scale_flags, run_scale, true, 1},
    {"start", "[SERVICE...]", "Start services", only_dry_run, run_start},
    {"stats", "[OPTIONS] [SERVICE]", "Display a live stream of container(s) resource usage statistics", stats_flags, run_stats, true, 0, 1},
    {"stop", services_usage, "Stop services", stop_flags, run_stop},
    {"top", "[SERVICES...]", "Display the running processes", only_dry_run, run_top},
    {"unpause", "[SERVICE...]", "Unpause services", only_dry_run, run_unpause},
    {"up", services_usage, "Create and start containers", up_flags, run_up},
    {"version", "[OPTIONS]", "Show the Docker Compose version information", version_flags, run_version, true, 0, 0},
    {"volumes", services_usage, "List volumes", volumes_flags, run_volumes},
    {"wait", "SERVICE [SERVICE...] [OPTIONS]", "Block until containers of all (or specified) services stop.", wait_flags, run_wait, true, 1},
    {"watch", "[SERVICE...]", "Watch build context for service and rebuild/refresh containers when files are updated", watch_flags, run_watch},
    {"bridge", "CMD [OPTIONS]", "Convert compose files into another model", {}, nullptr, true, 0, any, "is not supported", true},
    {"alpha", "COMMAND", "Experimental commands", {}, nullptr, true, 0, any, "is not supported", true},
    {"image", "COMMAND", "Manage images (ours)", {}, run_image_group, false, 0, any, "", false, true},
    {"network", "COMMAND", "Manage networks (ours)", {}, run_network_group, false, 0, any, "", false, true},
    {"system", "COMMAND", "Show and clean up what this machine holds (ours)", {}, run_system_group, false, 0, any, "", false, true},
    {"volume", "COMMAND", "Manage volumes (ours)", {}, run_volume_group, false, 0, any, "", false, true},
    {"login", "[OPTIONS] [SERVER]", "Log in to a registry (ours)", {}, run_login, false, 0, any, "", false, true},
    {"logout", "[SERVER]", "Log out from a registry (ours)", {}, run_logout, false, 0, any, "", false, true},
};

}  // namespace

std::span<const Verb> verbs() { return table; }
std::span<const Flag> global_flags() { return global; }

const Verb* find_verb(std::string_view name) {
  for (const auto& verb : table) {
    if (verb.name == name) return &verb;
  }
  return nullptr;
}

}  // namespace compose::cli
