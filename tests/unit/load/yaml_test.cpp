#include <catch2/catch.hpp>

#include "compose/load/parse.h"
#include "compose/load/writer.h"

using namespace compose::load;

namespace {

/// The documents as compact JSON, one a line, or the error as "line:column message".
std::string read(const std::string& text) {
  const LoadOptions options;
  const auto files = memory_files({});
  std::vector<Diagnostic> diagnostics;
  compose::model::Sources sources;
  sources.files.push_back({"f", text});
  Context context(options, *files, diagnostics, sources);
  std::string out;
  const auto documents = parse_documents(context, 0);
  for (const Node& document : documents)
    if (diagnostics.empty()) out += (out.empty() ? "" : "\n") + write_json(document, nullptr, {.indented = false, .escape_html = false});
  for (const auto& d : diagnostics)
    out += std::to_string(d.at.line) + ":" + std::to_string(d.at.column) + " " + d.message;
  return out;
}

}  // namespace

TEST_CASE("block and flow collections are read", "[load][yaml]") {
  CHECK(read("a:\n  b: [c, {d: e}]\n  f:\n  - g\n  -\n    h: i\n  - - j\n") == R"({"a":{"b":["c",{"d":"e"}],"f":["g",{"h":"i"},["j"]]}})");
  CHECK(read("{a: 1, \"b\":2, c, d: }") == R"({"a":1,"b":2,"c":null,"d":null})");
  CHECK(read("[a: b, ? c : d]") == R"([{"a":"b"},{"c":"d"}])");
  CHECK(read("? a\n: b\n? c\n") == R"({"a":"b","c":null})");
  CHECK(read("a: b:c\n") == R"({"a":"b:c"})");
  CHECK(read("a : b # c\n") == R"({"a":"b"})");
}

TEST_CASE("scalars keep, fold and escape as YAML 1.1 says", "[load][yaml]") {
  CHECK(read("a: plain\n  goes on\n\n  here # c\n") == R"({"a":"plain goes on\nhere"})");
  CHECK(read("a: \"x\n  y\\\n  z \\u00e9\\t\"\n") == "{\"a\":\"x yz \xC3\xA9\\t\"}");
  CHECK(read("a: 'it''s\n  on'\n") == R"({"a":"it's on"})");
  CHECK(read("a: |\n  x\n   y\n\nb: |-\n  z\nc: |+\n  w\n\n") == R"({"a":"x\n y\n","b":"z","c":"w\n\n"})");
  CHECK(read("a: >\n  x\n  y\n\n  z\n   w\n") == R"({"a":"x y\nz\n w\n"})");
  CHECK(read("a: |2\n   x\n") == R"({"a":" x\n"})");
  CHECK(read("a: ~\nb: \nc: ''\nd: null\n") == R"({"a":null,"b":null,"c":"","d":null})");
}

TEST_CASE("anchors, aliases, merges, tags and documents", "[load][yaml]") {
  CHECK(read("a: &x 1\n---\nb: *x\n") == "{\"a\":1}\n{\"b\":1}");
  CHECK(read("a: &x {b: 1}\nc: *x\nd:\n  <<: *x\n  e: 2\n") == R"({"a":{"b":1},"c":{"b":1},"d":{"b":1,"e":2}})");
  CHECK(read("a: {<<: [{b: 1}, {b: 2, c: 3}], c: 4}") == R"({"a":{"b":1,"c":4}})");
  CHECK(read("a: !!str 5\nb: ! 5\nc: !own 5\nd: !!int \"5\"\ne: !!binary aGk=\n") == R"({"a":"5","b":5,"c":"5","d":5,"e":"hi"})");
  CHECK(read("%TAG !e! tag:x,2000:\n---\na: !e!y z\n...\n---\nb: 1\n") == "{\"a\":\"z\"}\n{\"b\":1}");
  CHECK(read("--- {a: 1}\n---\n") == "{\"a\":1}\nnull");
  CHECK(read("\xEF\xBB\xBF" "a: 1\r\nb: 2\r\n") == R"({"a":1,"b":2})");
}

TEST_CASE("what is no YAML is refused where it goes wrong", "[load][yaml]") {
  CHECK(read("a: \"x\n") == "1:4 YAML syntax: this quoted value has no end");
  CHECK(read("a: b: c\n") == "1:5 YAML syntax: a second ':' cannot stand here");
  CHECK(read("a:\n\tb: 1\n") == "2:1 YAML syntax: a tab cannot be used for indentation");
  CHECK(read("a: @x\n") == "1:4 YAML syntax: '@' cannot begin a value");
  CHECK(read("a: *x\n") == "1:4 there is no anchor 'x'");
  CHECK(read("a: [b\n") == "2:1 YAML syntax: ',' or ']' is missing");
  CHECK(read("a: {b: c\n") == "2:1 YAML syntax: ',' or '}' is missing");
  CHECK(read("a: x\n  b: y\n") == "2:4 YAML syntax: a second ':' cannot stand here");
  CHECK(read("a:\n  b: 1\n c: 2\n") == "3:2 YAML syntax: a key or the end of the mapping should stand here");
  CHECK(read("a: \"\\q\"\n") == "1:5 YAML syntax: this is no escape");
  CHECK(read("a: x\nb\nc: d\n") == "2:1 YAML syntax: a ':' is missing after this key");
  CHECK(read("%YAML 1.2\n---\na: 1\n") == "1:1 YAML syntax: only YAML 1.1 documents are read");
  CHECK(read("a: \x07\n") == "1:4 YAML syntax: control characters are not allowed");
  CHECK(read("a: \xFF\n") == "1:4 YAML syntax: this is not UTF-8");
  CHECK(read("a: {<<: *b}") == "1:9 there is no anchor 'b'");
  CHECK(read("a: {<<: {b: 1}, <<: {c: 2}}") == "1:17 key '<<' is already defined in this mapping");
}

TEST_CASE("go-yaml's own ways inside brackets, in tags and in escapes", "[load][yaml]") {
  CHECK(read("a: {b:, c: d:}") == R"({"a":{"b:":null,"c":"d:"}})");
  CHECK(read("a: {\"b\":{c:[1]}}") == "1:12 YAML syntax: ',' or '}' is missing");
  CHECK(read("a: [\"\xC3\xA9\", b:, c:d]") == "{\"a\":[\"\xC3\xA9\",\"b:\",\"c:d\"]}");
  CHECK(read("a: [b?c]") == "1:5 YAML syntax: '?' stands for a key inside brackets and braces");
  CHECK(read("a: [b, ?c]") == R"({"a":["b",{"c":null}]})");
  CHECK(read("a: b?c") == R"({"a":"b?c"})");
  CHECK(read("a: !!str, b") == R"({"a":"b"})");
  CHECK(read("a: \"b\\/c\"") == "1:4 YAML syntax: this is no escape");
  CHECK(read("a: 'b\\/c'") == R"({"a":"b\\/c"})");
}
