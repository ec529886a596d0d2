#include <catch2/catch.hpp>

#include "support.h"

using namespace load_test;

namespace {

std::string found(const std::map<std::string, std::string>& files, const CommandLine& line) {
  const auto result = discover(line, *memory_files(files));
  if (!result.options) return print(result.diagnostics, result.sources);
  std::string out = result.options->working_dir + " " + result.options->project_name + ":";
  for (const auto& file : result.options->files) out += " " + file;
  return out;
}

}  // namespace

TEST_CASE("files are found here or in a parent directory, with their override", "[load]") {
  const std::map<std::string, std::string> files = {{"/p/compose.yaml", ""}, {"/p/compose.override.yml", ""}, {"/p/q/x", ""}};
  CHECK(found(files, {.current_dir = "/p"}) == "/p : /p/compose.yaml /p/compose.override.yml");
  CHECK(found(files, {.current_dir = "/p/q"}) == "/p : /p/compose.yaml /p/compose.override.yml");
  CHECK(found(files, {.files = {"q/x"}, .current_dir = "/p"}) == "/p/q : /p/q/x");
  CHECK(found(files, {.files = {"q/x"}, .project_directory = ".", .current_dir = "/p"}) == "/p : /p/q/x");
  CHECK(found({}, {.current_dir = "/p"}) == "no configuration file provided: not found\n");
}

TEST_CASE("the environment names files, project and profiles", "[load]") {
  const std::map<std::string, std::string> files = {{"/p/a.yaml", ""}, {"/p/b.yaml", ""}};
  CHECK(found(files, {.environment = {{"COMPOSE_FILE", "a.yaml:b.yaml"}, {"COMPOSE_PROJECT_NAME", "n"}}, .current_dir = "/p"}) ==
        "/p n: /p/a.yaml /p/b.yaml");
  CHECK(found(files, {.environment = {{"COMPOSE_FILE", "a.yaml;b.yaml"}, {"COMPOSE_PATH_SEPARATOR", ";"}}, .current_dir = "/p"}) ==
        "/p : /p/a.yaml /p/b.yaml");
  const auto result = discover({.environment = {{"COMPOSE_FILE", "a.yaml"}, {"COMPOSE_PROFILES", "x,y"}}, .current_dir = "/p"}, *memory_files(files));
  CHECK(result.options->profiles == std::vector<std::string>{"x", "y"});
}

TEST_CASE(".env fills in under the shell, unless switched off or replaced", "[load]") {
  const std::map<std::string, std::string> files = {{"/p/compose.yaml", ""}, {"/p/.env", "A=file\nB=file\n"}, {"/p/other", "A=other\n"}};
  const auto value = [&](CommandLine line, const std::string& name) {
    line.current_dir = "/p";
    const auto result = discover(line, *memory_files(files));
    const auto entry = result.options->environment.find(name);
    return entry == result.options->environment.end() ? "-" : entry->second;
  };
  CHECK(value({.environment = {{"A", "shell"}}}, "A") == "shell");
  CHECK(value({.environment = {{"A", "shell"}}}, "B") == "file");
  CHECK(value({.env_files = {"other"}}, "A") == "other");
  CHECK(value({.env_files = {"other"}}, "B") == "-");
  CHECK(value({.environment = {{"COMPOSE_ENV_FILES", "other"}}}, "A") == "other");
  CHECK(value({.environment = {{"COMPOSE_DISABLE_ENV_FILE", "1"}}}, "A") == "-");
  CHECK(found(files, {.env_files = {"nope"}, .current_dir = "/p"}) == "couldn't find env file: /p/nope\n");
}

TEST_CASE("project names come from the option, the file, the directory", "[load]") {
  CHECK(normalize_project_name("My_App!") == "my_app");
  CHECK(normalize_project_name("-x") == "x");
  const auto name = [](const std::string& text, const std::string& option) {
    LoadOptions options;
    options.files = {"/My Dir/c.yaml"};
    options.working_dir = "/My Dir";
    options.project_name = option;
    const auto result = load(options, *memory_files({{"/My Dir/c.yaml", text}}));
    return result.project ? result.project->name : print(result.diagnostics, result.sources).substr(0, 27);
  };
  const std::string text = "services: {a: {image: \"${COMPOSE_PROJECT_NAME}\"}}";
  CHECK(name(text, "") == "mydir");
  CHECK(name(text + "\nname: Zoo", "") == "zoo");
  CHECK(name(text, "opt") == "opt");
  CHECK(name(text, "Opt!") == "invalid project name \"Opt!\"");
}
