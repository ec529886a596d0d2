#include <catch2/catch.hpp>

#include "engine/build/instruction.h"
#include "engine/build/parser.h"

using namespace engine::build;

namespace {

Dockerfile parse(const std::string& text) {
  Span where;
  auto file = parse_dockerfile("Dockerfile", text, where);
  INFO((file ? "" : file.error().text()));
  REQUIRE(file);
  return *file;
}

std::string error_of(const std::string& text) {
  Span where;
  const auto file = parse_dockerfile("Dockerfile", text, where);
  if (!file) return std::to_string(where.first) + ": " + file.error().message;
  for (const auto& instruction : file->instructions)
    if (const auto command = understand(instruction, file->escape); !command)
      return std::to_string(instruction.span.first) + ": " + command.error().text();
  return "";
}

template <class T>
T meaning(const std::string& line) {
  const auto file = parse(line);
  const auto command = understand(file.instructions.at(0), file.escape);
  INFO((command ? "" : command.error().text()));
  REQUIRE(command);
  return std::get<T>(command->meaning);
}

}  // namespace

TEST_CASE("continued lines lose comments and empty lines inside", "[build]") {
  const auto file = parse("FROM a\nRUN one \\\n  # why\n\n   # indented\n two \\  \n three\nCMD x\n");
  REQUIRE(file.instructions.size() == 3);
  CHECK(file.instructions[1].rest == "one  two  three");
  CHECK(file.instructions[1].span.first == 2);
  CHECK(file.instructions[1].span.last == 7);
}

TEST_CASE("an escaped escape, CRLF, a BOM and an end of file in a continuation are understood", "[build]") {
  const auto file = parse("\xEF\xBB\xBF" "from a\r\nrun a\\\\\r\nrUn b \\\r\n");
  REQUIRE(file.instructions.size() == 3);
  CHECK(file.instructions[0].keyword == "FROM");
  CHECK(file.instructions[1].rest == "a\\\\");
  CHECK(file.instructions[2].rest == "b");
}

TEST_CASE("directives count only at the top and only once", "[build]") {
  CHECK(parse("# syntax=docker/dockerfile:1\n# escape=`\nFROM a\nRUN x `\n y\n").instructions[1].rest == "x  y");
  CHECK(parse("# hi\n# escape=`\nFROM a\nRUN x `\n").instructions.size() == 2);
  CHECK(error_of("# escape=`\n# escape=`\nFROM a\n") == "2: only one escape parser directive can be used");
  CHECK(error_of("# escape=x\nFROM a\n") == "1: invalid escape token 'x' does not match ` or \\");
}

TEST_CASE("heredocs end at their delimiter", "[build]") {
  const auto file = parse("FROM a\nRUN <<EOF\necho $a\n# kept\nEOF\nCOPY <<-\"A\" <<B /x/\n\ttabs\n\tA\nb\nB\nRUN cat <<E\nx\nE\n");
  REQUIRE(file.instructions.size() == 4);
  REQUIRE(file.instructions[1].heredocs.size() == 1);
  CHECK(file.instructions[1].heredocs[0].content == "echo $a\n# kept\n");
  CHECK(file.instructions[1].heredocs[0].expand);
  CHECK(file.instructions[1].span.last == 5);
  REQUIRE(file.instructions[2].heredocs.size() == 2);
  CHECK(file.instructions[2].heredocs[0].content == "tabs\n");
  CHECK_FALSE(file.instructions[2].heredocs[0].expand);
  CHECK(file.instructions[2].heredocs[1].name == "B");
  CHECK(error_of("FROM a\nRUN <<EOF\necho\n") == "2: unterminated heredoc");
  CHECK(parse("FROM a\nRUN echo \"a << b\"\n").instructions[1].heredocs.empty());
  CHECK(parse("FROM a\nRUN [\"a\", \"<<b\"]\n").instructions[1].heredocs.empty());
}

TEST_CASE("flags are taken off the front only", "[build]") {
  const auto copy = meaning<instr::Copy>("COPY --from=b --chown=1:2 --link a --x b\n");
  CHECK(copy.from == "b");
  CHECK(copy.chown == "1:2");
  CHECK(copy.link);
  CHECK(copy.sources == std::vector<std::string>{"a", "--x"});
  CHECK(copy.destination == "b");
}

TEST_CASE("the exec form must be a whole JSON array of strings", "[build]") {
  CHECK(meaning<instr::Cmd>("CMD [\"a\", \"b c\"]\n").command.words == std::vector<std::string>{"a", "b c"});
  CHECK(meaning<instr::Cmd>("CMD ['a']\n").command.shell);
  CHECK(meaning<instr::Cmd>("CMD [\"a\"] x\n").command.shell);
  CHECK(error_of("FROM a\nCMD [\"a\", 1]\n") == "2: when using JSON array syntax, arrays must be comprised of strings only");
  CHECK(meaning<instr::Entrypoint>("ENTRYPOINT []\n").command.words.empty());
}

TEST_CASE("wrong instructions are named with what was probably meant", "[build]") {
  const std::vector<std::pair<std::string, std::string>> rows = {
      {"RUNN x", "unknown instruction: RUNN (did you mean RUN?)"},
      {"FRUIT x", "unknown instruction: FRUIT"},
      {"COPY a", "COPY requires at least two arguments, but only one was provided. Destination could not be determined"},
      {"COPY --bad=1 a b", "unknown flag: --bad"},
      {"COPY --from=a --from=b a b", "duplicate flag specified: --from"},
      {"COPY --from a b", "missing a value on flag: from"},
      {"ENV a", "ENV must have two arguments"},
      {"ENV a=b c", "Syntax error - can't find = in \"c\". Must be of the form: name=value"},
      {"ENV =b", "ENV names can not be blank"},
      {"FROM a b", "FROM requires either one or three arguments"},
      {"FROM a AS 1x", "invalid name for build stage: \"1x\", name can't start with a number or contain symbols"},
      {"SHELL bash -c", "SHELL requires the arguments to be in JSON form"},
      {"HEALTHCHECK NONE x", "HEALTHCHECK NONE takes no arguments"},
      {"HEALTHCHECK FOO x", "Unknown type \"FOO\" in HEALTHCHECK (try CMD)"},
      {"HEALTHCHECK --interval=5 CMD x", "time: missing unit in duration \"5\""},
      {"HEALTHCHECK --interval=-1s CMD x", "Interval \"interval\" cannot be less than 1ms"},
      {"HEALTHCHECK --retries=x CMD y", "strconv.ParseInt: parsing \"x\": invalid syntax"},
      {"ONBUILD ONBUILD RUN x", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"},
      {"ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"},
      {"RUN --mount=type=foo x", "unsupported mount type \"foo\""},
      {"COPY --form=x a b", "unknown flag: --form (did you mean from?)"},
      {"RUN --mount=type=tmpfs,target=/x,uid=3 x", "uid not allowed for \"tmpfs\" type mounts"},
      {"RUN --mount=type=bind,target=/x,sharing=locked x", "invalid cache sharing set for bind mount"},
      {"RUN --mount=type=tmpfs,target=/x,size=1x x", "invalid value for size: 1x"},
      {"RUN --mount=type=tmpfs,target=/x,source=y x", "source not allowed for \"tmpfs\" type mounts"},
      {"RUN --mount=foo x", "invalid field 'foo' must be a key=value pair"},
      {"RUN --network= x", "invalid network mode \"\""},
      {"RUN --mount=type=bind,colour=red,target=/x x", "unexpected key 'colour' in 'colour=red'"},
      {"RUN --network=foo x", "invalid network mode \"foo\""},
      {"WORKDIR", "WORKDIR requires exactly one argument"},
      {"VOLUME [\"\"]", "VOLUME specified can not be an empty string"},
  };
  for (const auto& [line, wanted] : rows) {
    INFO(line);
    CHECK(error_of("FROM a\n" + line + "\n") == "2: " + wanted);
  }
  CHECK(error_of("# nothing\n") == "0: file with no instructions");
}

TEST_CASE("HEALTHCHECK keeps Go's durations", "[build]") {
  const auto check = meaning<instr::Healthcheck>("HEALTHCHECK --interval=1m30s --timeout=1.5s --retries=2 CMD curl x\n");
  CHECK(check.spec.test == std::vector<std::string>{"CMD-SHELL", "curl x"});
  CHECK(check.spec.interval == std::chrono::seconds(90));
  CHECK(check.spec.timeout == std::chrono::milliseconds(1500));
  CHECK(check.spec.retries == 2);
}

TEST_CASE("RUN mounts read every key of their type", "[build]") {
  const auto cache = parse_run_mount("TYPE=Cache,target=/c,id=x,Sharing=LOCKED,mode=0700,uid=5,ro");
  REQUIRE(cache);
  CHECK(cache->sharing == CacheSharing::locked);
  CHECK(cache->mode == 0700U);
  CHECK(cache->uid == "5");
  CHECK(cache->read_only == true);
  const auto bind = parse_run_mount("target=/b,source=src,from=stage,rw");
  REQUIRE(bind);
  CHECK(bind->type == RunMountType::bind);
  CHECK(bind->read_only == false);
  const auto secret = parse_run_mount("type=secret,id=s,env=TOKEN,required");
  REQUIRE(secret);
  CHECK(secret->env == "TOKEN");
  CHECK(secret->required);
  const auto tmpfs = parse_run_mount("type=tmpfs,target=/t,size=64m");
  REQUIRE(tmpfs);
  CHECK(tmpfs->size_bytes == 64 << 20);
}

TEST_CASE("the excerpt pads a single line with four others", "[build]") {
  const auto file = parse("FROM demo/busybox:1\nRUN echo hello > /x\nCMD [\"cat\",\"/x\"]\n");
  CHECK(excerpt(file, {2, 2, 0}) ==
        "Dockerfile:2\n--------------------\n"
        "   1 |     FROM demo/busybox:1\n"
        "   2 | >>> RUN echo hello > /x\n"
        "   3 |     CMD [\"cat\",\"/x\"]\n"
        "   4 |     \n"
        "--------------------\n");
}

TEST_CASE("an error points at the word it is about", "[build]") {
  Span where;
  const auto file = parse_dockerfile("Dockerfile", "FROM a\nCOPY --chwn=1 \\\n  here nothing \\\n  /to/\nRUN false\n", where);
  REQUIRE(file);
  const auto at = [&](int first, int last, const std::string& message) {
    const auto span = point_at(*file, {first, last, 0}, message);
    return std::to_string(span.first) + ":" + std::to_string(span.column);
  };
  CHECK(at(2, 4, "unknown flag: --chwn") == "2:6");
  CHECK(at(2, 4, "failed to compute cache key: \"/nothing\": not found") == "3:8");
  CHECK(at(2, 4, "\"thing\" is only a part of a word") == "2:0");
  CHECK(at(5, 5, "process \"/bin/sh -c false\" did not complete successfully: exit code: 1") == "5:0");
  CHECK(excerpt(*file, point_at(*file, {2, 4, 0}, "unknown flag: --chwn")).starts_with("Dockerfile:2:6\n"));
}
