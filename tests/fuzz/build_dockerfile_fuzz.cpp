// A whole Dockerfile: parsed, planned, its config instructions applied, and its excerpt printed at the error.
#include <cstdlib>
#include <string_view>

#include "engine/build/meta.h"
#include "engine/build/stages.h"

using namespace engine::build;

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  Span where;
  const auto file = parse_dockerfile("Dockerfile", text, where);
  if (!file) {
    // An error names lines of the file, or none.
    if (where.first < 0 || where.last < where.first) std::abort();
    return 0;
  }
  const auto platform = platform_arguments("linux/amd64", "linux/amd64");
  const std::map<std::string, std::string> args = {{"A", "value"}};
  const auto plan = plan_stages(*file, {.target = "", .args = args, .platform_args = platform, .contexts = {"ctx"}}, where);
  if (!plan) {
    (void)excerpt(*file, where);
    return 0;
  }
  for (const auto& stage : plan->stages) {
    StageMeta meta = scratch_meta("linux/amd64");
    for (const auto& command : stage.commands) {
      (void)apply_meta(meta, command, {.plan = &*plan, .args = &args, .platform_args = &platform});
      if (const auto* run = std::get_if<instr::Run>(&command.meaning))
        for (const auto& mount : run->mounts) (void)parse_run_mount(mount);
    }
    // What was built reads back as the same config.
    const auto json = engine::images::to_json(meta.config);
    const auto again = engine::images::parse_config(json);
    if (!again || engine::images::to_json(*again) != json) std::abort();
  }
  return 0;
}
