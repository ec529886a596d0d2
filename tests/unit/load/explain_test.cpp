#include <catch2/catch.hpp>

#include "compose/load/explain.h"

using namespace compose::load;

namespace {

struct Told {
  CommandLine line{.environment = {{"HOME", "/home/me"}, {"SHELL_VAR", "s"}}, .current_dir = "/p"};
  std::map<std::string, std::string> files;

  std::string value(const std::string& path) const {
    const auto reader = memory_files(files);
    const auto found = discover(line, *reader);
    REQUIRE(found.options);
    const auto told = explain_value({.line = line, .found = found, .files = *reader}, path);
    return told.text.value_or(told.error + "; " + told.hint);
  }
  std::string variable(const std::string& name) const {
    const auto reader = memory_files(files);
    const auto found = discover(line, *reader);
    REQUIRE(found.options);
    const auto told = explain_variable({.line = line, .found = found, .files = *reader}, name);
    return told.text.value_or(told.error + "; " + told.hint);
  }
};

const Told project{.files = {{"/p/compose.yaml",
                              "services:\n"
                              "  web:\n"
                              "    image: nginx:${TAG:-latest}\n"
                              "    ports: [\"${PORT}:80\"]\n"
                              "    hostname: one\n"
                              "    env_file: [e.env]\n"
                              "    environment:\n"
                              "      SHELL_VAR:\n"
                              "      OWN: ${SHELL_VAR}\n"},
                             {"/p/compose.override.yaml", "services:\n  web:\n    hostname: two\n"},
                             {"/p/e.env", "FROM_FILE=f\n"},
                             {"/p/.env", "# ports\nPORT=8080\n"}}};

}  // namespace

TEST_CASE("a value is explained by its place, its variables and their sources", "[load][explain]") {
  CHECK(project.value("services.web.image") ==
        "services.web.image: nginx:latest\n"
        "    compose.yaml:3:12  written as: nginx:${TAG:-latest}\n"
        "    TAG is not set: its default is latest\n");
  CHECK(project.value("services.web.ports[0].published") ==
        "services.web.ports[0].published: 8080\n"
        "    compose.yaml:4:13  written as: ${PORT}:80\n"
        "    PORT = 8080 from .env:2\n");
}

TEST_CASE("the file that wins is named, and the one that does not", "[load][explain]") {
  CHECK(project.value("services.web.hostname") ==
        "services.web.hostname: two\n"
        "    compose.override.yaml:3:15\n"
        "    also at compose.yaml:5:15: one, which does not count here\n");
}

TEST_CASE("variables of a service come from the shell, a file or the service itself", "[load][explain]") {
  CHECK(project.value("services.web.environment") ==
        "services.web.environment.FROM_FILE: f\n"
        "    from the env_file at compose.yaml:6:16: e.env\n"
        "services.web.environment.OWN: s\n"
        "    compose.yaml:9:12  written as: ${SHELL_VAR}\n"
        "    SHELL_VAR = s from the environment of this process\n"
        "services.web.environment.SHELL_VAR: s\n"
        "    compose.yaml:8:17\n"
        "    its value is from the environment of this process\n");
}

TEST_CASE("what nobody wrote is called a default", "[load][explain]") {
  CHECK(project.value("name") == "name: p\n    made from the directory /p\n");
  CHECK(project.value("networks.default.name").starts_with("networks.default.name: p_default\n    not written: the default"));
}

TEST_CASE("a path that leads nowhere gets a hint", "[load][explain]") {
  CHECK(project.value("services.web.imag") == "the model has no services.web.imag; did you mean 'image'?");
}

TEST_CASE("a variable is explained by where it is set and used", "[load][explain]") {
  CHECK(project.variable("PORT") ==
        "PORT=8080\n"
        "    set at .env:2\n"
        "  used at\n"
        "    compose.yaml:4:13: services.web.ports[0]: ${PORT}:80\n");
  CHECK(project.variable("TAG") ==
        "TAG is not set\n"
        "  used at\n"
        "    compose.yaml:3:12: services.web.image: nginx:${TAG:-latest}\n");
  CHECK(project.variable("PROT") == "PROT is not set, and no Compose file mentions it; did you mean 'PORT'?");
  Told both = project;
  both.line.environment["PORT"] = "1";
  CHECK(both.variable("PORT") ==
        "PORT=1\n"
        "    set in the environment of this process\n"
        "    set at .env:2, which does not count: what is above wins\n"
        "  used at\n"
        "    compose.yaml:4:13: services.web.ports[0]: ${PORT}:80\n");
}

TEST_CASE("variables of an included file come from its own env file", "[load][explain]") {
  const Told told{.files = {{"/p/compose.yaml", "include: [inc/db.yaml]\nservices: {web: {image: \"x:${PG:-1}\"}}\n"},
                            {"/p/inc/db.yaml", "services:\n  db: {image: \"pg:${PG:-16}\"}\n"},
                            {"/p/inc/.env", "# version\nPG=15\n"}}};
  CHECK(told.value("services.db.image") ==
        "services.db.image: pg:15\n    inc/db.yaml:2:15  written as: pg:${PG:-16}\n    PG = 15 from inc/.env:2\n");
  CHECK(told.value("services.web.image") ==
        "services.web.image: x:1\n    compose.yaml:2:25  written as: x:${PG:-1}\n    PG is not set: its default is 1\n");
  CHECK(told.variable("PG").starts_with("PG=15\n    set at inc/.env:2, for the files included with it\n  used at\n"));
}

TEST_CASE("variables of two files that are joined keep their places", "[load][explain]") {
  const Told told{.files = {{"/p/compose.yaml", "services:\n  a:\n    image: x\n    environment: {A: 1}\n"},
                            {"/p/compose.override.yaml", "services:\n  a:\n    environment:\n      B: two\n"}}};
  CHECK(told.value("services.a.environment") ==
        "services.a.environment.A: 1\n    compose.yaml:4:22\nservices.a.environment.B: two\n    compose.override.yaml:4:10\n");
  CHECK(told.variable("COMPOSE_PROJECT_NAME").starts_with("COMPOSE_PROJECT_NAME=p\n"));
}

TEST_CASE("an item of a list is also found by its number behind a dot", "[load][explain]") {
  CHECK(project.value("services.web.ports.0.target").starts_with("services.web.ports.0.target: 80\n"));
}
