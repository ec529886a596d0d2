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
  const auto result = discover({.environment = {{"COMPOSE_FILE", "a.yaml"}, {"COMPOSE_PROFILES", "x, y"}}, .current_dir = "/p"}, *memory_files(files));
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
  CHECK(value({.environment = {{"COMPOSE_DISABLE_ENV_FILE", "False"}}}, "A") == "file");
  CHECK(found(files, {.environment = {{"COMPOSE_DISABLE_ENV_FILE", "yes"}}, .current_dir = "/p"}) ==
        "COMPOSE_DISABLE_ENV_FILE is 'yes', which is neither true nor false: write 1 or 0, or unset it\n");
  CHECK(value({.env_files = {"other"}, .environment = {{"COMPOSE_DISABLE_ENV_FILE", "yes"}}}, "A") == "other");  // nothing to switch off
  CHECK(found(files, {.env_files = {"nope"}, .current_dir = "/p"}) == "couldn't find env file: /p/nope\n");
}

TEST_CASE("env files say COMPOSE_ settings of the program where the shell does not", "[load]") {
  const auto files = memory_files({{"/p/.env", "COMPOSE_ANSI=never\nCOMPOSE_PARALLEL_LIMIT=3\nA=1\n"},
                                   {"/p/s/.env", "COMPOSE_ANSI=always\n"},
                                   {"/p/bad/.env", "COMPOSE_ANSI=\"never\n"}});
  using Settings = compose::model::StringMap;
  CHECK(program_settings({.environment = {{"COMPOSE_ANSI", "auto"}, {"HOME", "/h"}}, .current_dir = "/p"}, *files) ==
        Settings{{"COMPOSE_ANSI", "auto"}, {"COMPOSE_PARALLEL_LIMIT", "3"}});
  CHECK(program_settings({.files = {"s/a.yaml"}, .current_dir = "/p"}, *files) == Settings{{"COMPOSE_ANSI", "always"}});
  CHECK(program_settings({.current_dir = "/p/bad"}, *files).empty());
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

namespace {

/// Memory, and one remote file.
class WithRemote final : public FileReader {
 public:
  base::Result<std::string> read(const std::string& path) const override { return files_->read(path); }
  bool exists(const std::string& path) const override { return files_->exists(path); }
  bool is_directory(const std::string& path) const override { return files_->is_directory(path); }
  base::Result<std::string> fetch(const std::string& reference) const override {
    if (reference == "git://h/r.git#v1:sub") return std::string("/cache/abc/sub/compose.yaml");
    return base::make_error(base::ErrorKind::unavailable, "no way there");
  }

 private:
  std::unique_ptr<FileReader> files_ = memory_files(
      {{"/cache/abc/sub/compose.yaml", "services: {r: {image: x, volumes: [\"./d:/d\"]}}\n"},
       {"/p/compose.yaml", "include: [\"git://h/r.git#v1:sub\"]\nservices: {a: {extends: {file: \"git://h/r.git#v1:sub\", service: r}}}\n"},
       {"/p/bad.yaml", "services:\n  a: {extends: {file: oci://h/r, service: r}}\n"}});
};

}  // namespace

TEST_CASE("remote files are known by their form", "[load]") {
  for (const auto* remote : {"oci://h/r:1", "git://h/r", "ssh://g@h/r", "git@h:r.git", "https://h/r.git", "https://h/r.git#main:sub", "github.com/o/r"})
    CHECK(is_remote(remote));
  for (const auto* local : {"compose.yaml", "./git@h:r", "https://h/compose.yaml", "a/b@c:d", "C:\\a", "-"}) CHECK_FALSE(is_remote(local));
}

TEST_CASE("a remote file is fetched, and its paths are below its copy", "[load]") {
  const WithRemote files;
  const auto result = discover({.files = {"git://h/r.git#v1:sub"}, .current_dir = "/p"}, files);
  REQUIRE(result.options);
  CHECK(result.options->working_dir == "/cache/abc/sub");
  const auto both = load_project({.current_dir = "/p"}, files);
  REQUIRE(both.project);
  CHECK(both.project->services.at("r").volumes.at(0).source == "/cache/abc/sub/d");
  CHECK(both.project->services.at("a").volumes.at(0).source == "/cache/abc/sub/d");
}

TEST_CASE("what cannot be fetched is refused at its place", "[load]") {
  const WithRemote files;
  const auto first = discover({.files = {"oci://h/r"}, .current_dir = "/p"}, files);
  CHECK(print(first.diagnostics, first.sources) == "cannot fetch oci://h/r: no way there\n");
  CHECK(errors(load_project({.files = {"bad.yaml"}, .current_dir = "/p"}, files)) ==
        "2:23 services.a.extends: cannot fetch oci://h/r: no way there\n");
  CHECK(errors(load_text("include: [oci://h/r]\n")).find("remote files cannot be fetched here") != std::string::npos);
}
