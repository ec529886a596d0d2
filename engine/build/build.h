#pragma once
// The image builder: a Dockerfile and a context become an image in the image store.
//
// `compose-image build` reads one BuildRequest as JSON on stdin, writes progress to stdout, the error with the Dockerfile's
// lines to stderr, and ends with 0 (built), 1 (failed) or 130 (SIGINT or SIGTERM: cancelled, nothing half-made left).
//
// JSON (every key optional but "context"; an unknown key is an error):
//   { "context": "/abs/dir",            a directory, a tar file (plain, gzip, bzip2, xz, zstd), an http(s)
//                                       URL of one, or a git repository (URL#ref:folder)
//     "dockerfile": "docker/Dockerfile", relative to the context, or absolute; "" = "Dockerfile"
//     "dockerfile_inline": "FROM …",    instead of "dockerfile"
//     "target": "stage", "args": {"K": "V"}, "labels": {"K": "V"}, "tags": ["name:tag"],
//     "no_cache": false, "no_cache_filter": ["stage"], "pull": false,
//     "network": "default|none|host", "extra_hosts": ["name=address"],
//     "secrets": [{"id": "s", "file": "/p"}, {"id": "t", "env": "VAR"}],
//     "ssh": [{"id": "default", "paths": ["/path/to/socket-or-key"]}],   no paths: $SSH_AUTH_SOCK
//     "additional_contexts": {"name": "/dir | docker-image://ref | tar | URL"},
//     "cache_from": [], "cache_to": [], "platforms": ["linux/amd64"],
//     "shm_size": 67108864, "memory": 1073741824, "ulimits": [{"name": "nofile", "soft": 1024, "hard": 2048}],
//     "privileged": false, "entitlements": ["security.insecure", "network.host"], "isolation": "", "provenance": "", "sbom": "",
//     "project": "demo", "service": "web",   only shown in errors
//     "progress": "plain|json|quiet", "iidfile": "/path",
//     "check": false }                  nothing is built: warnings are printed, and any is a failure
//
// Progress "plain" is BuildKit's (`#5 [2/3] RUN make`, `#5 0.123 text`, `#5 DONE 0.4s`). "json" is one object a line:
//   {"vertex": 5, "name": "[2/3] RUN make", "event": "start|log|done|cached|cancelled|error", "text": "…", "seconds": 0.123}
//   {"event": "result", "image_id": "sha256:…", "seconds": 1.2}       last line of a successful build
// "quiet" prints the image id only. "iidfile" receives the image id in every mode.
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "engine/api/types.h"

namespace engine::build {

enum class ProgressMode : std::uint8_t { plain, json, quiet };

struct SecretSource {
  std::string id;
  std::string file;  ///< absolute path; or
  std::string env;   ///< a variable of our own environment
};

struct SshSource {
  std::string id = "default";
  std::vector<std::string> paths;  ///< an agent socket; empty: $SSH_AUTH_SOCK
};

struct BuildRequest {
  std::string context;
  std::string dockerfile;
  std::optional<std::string> dockerfile_inline;
  std::string target;
  std::map<std::string, std::string> args;
  Labels labels;
  std::vector<std::string> tags;
  bool no_cache = false;
  std::vector<std::string> no_cache_filter;  ///< stage names that are built anew
  bool pull = false;
  std::string network;                       ///< "" = default
  std::vector<std::string> extra_hosts;
  std::vector<SecretSource> secrets;
  std::vector<SshSource> ssh;
  std::map<std::string, std::string> additional_contexts;
  std::vector<std::string> cache_from, cache_to;
  std::vector<std::string> platforms;        ///< empty: this machine's
  std::int64_t shm_size_bytes = 0, memory_bytes = 0;
  std::vector<Ulimit> ulimits;
  bool privileged = false;
  std::vector<std::string> entitlements;
  std::string isolation, provenance, sbom;
  std::string project, service;
  ProgressMode progress = ProgressMode::plain;
  std::string iidfile;
  bool check = false;                        ///< only look for what the build checks find
};

struct BuildResult {
  std::string image_id;  ///< "sha256:…" of the image config; "" after a check
};

/// A failed build as the user should see it.
struct BuildFailure {
  base::Error error;    ///< text() is BuildKit's: "failed to solve: process \"/bin/sh -c x\" did not complete successfully: exit code: 1"
  std::string excerpt;  ///< "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> RUN x\n…"; "" when no line is to blame
};

/// Errors: invalid, naming the key.
base::Result<BuildRequest> request_from_json(const std::string& text);
std::string request_to_json(const BuildRequest& request);

/// Builds and stores the image, tags it, and returns its id. Progress goes to `out`; a failure's excerpt is in `failure`.
/// A cancelled build (see cancel_builds) returns Error cancelled. Blocks; thread: any, one build at a time per process.
base::Result<BuildResult> build_image(const BuildRequest& request, base::Fd out, BuildFailure* failure = nullptr);

/// `compose-image build [--iidfile PATH]`: what main() calls. `arguments` come after the word "build". Returns the exit code.
int run_build(const std::vector<std::string>& arguments);

/// Makes a running build stop soon; async-signal-safe.
void cancel_builds();

}  // namespace engine::build
