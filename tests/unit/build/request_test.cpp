#include <fcntl.h>

#include <catch2/catch.hpp>

#include "base/sys.h"
#include "engine/build/context.h"
#include "engine/build/build.h"
#include "engine/build/cache_options.h"
#include "engine/build/foreign.h"
#include "engine/build/git.h"
#include "engine/build/progress.h"

using namespace engine::build;

TEST_CASE("a build request survives its JSON", "[build]") {
  const std::string text =
      R"({"context":"/c","dockerfile":"d","args":{"A":"1"},"tags":["x:1"],"no_cache":true,"secrets":[{"id":"s","env":"E"}],)"
      R"("ssh":[{"id":"default","paths":[]}],"ulimits":[{"name":"nofile","soft":1,"hard":2}],"shm_size":5,"progress":"json"})";
  const auto request = request_from_json(text);
  REQUIRE(request);
  CHECK(request->args.at("A") == "1");
  CHECK(request->no_cache);
  CHECK(request->secrets.front().env == "E");
  CHECK(request->ulimits.front().hard == 2);
  CHECK(request->progress == ProgressMode::json);
  const auto again = request_from_json(request_to_json(*request));
  REQUIRE(again);
  CHECK(request_to_json(*again) == request_to_json(*request));
}

TEST_CASE("a wrong build request names the key", "[build]") {
  const auto error = [](const std::string& text) {
    const auto request = request_from_json(text);
    return request ? "" : request.error().message;
  };
  CHECK(error("[]") == "build request: not a JSON object");
  CHECK(error("{}") == "build request: context: is required");
  CHECK(error(R"({"context":"/","colour":1})") == "build request: colour: unknown key");
  CHECK(error(R"({"context":1})") == "build request: context: wrong type");
  CHECK(error(R"({"context":"/","secrets":[{"file":"x"}]})") == "build request: secrets: an id is required");
  CHECK(error(R"({"context":"/","progress":"fancy"})") == "build request: progress: not one of plain, json, quiet");
}

namespace {

std::string printed(ProgressMode mode, const std::function<void(Progress&)>& use) {
  auto pipe = base::sys::pipe();
  REQUIRE(pipe);
  {
    Progress progress(pipe->second.borrow(), mode);
    use(progress);
  }
  pipe->second.reset();
  std::string text;
  std::vector<char> buffer(4096);
  while (true) {
    const auto got = base::sys::read(pipe->first.borrow(), buffer);
    if (!got || *got == 0) return text;
    text.append(buffer.data(), *got);
  }
}

}  // namespace

TEST_CASE("plain progress groups the lines of a step as BuildKit does", "[build]") {
  const std::string text = printed(ProgressMode::plain, [](Progress& progress) {
    const auto a = progress.begin("[a 1/1] RUN a");
    const auto b = progress.begin("[b 1/1] RUN b");
    progress.note(a, "first");
    progress.note(b, "second");
    progress.cached(b);
    progress.cached(a);
  });
  CHECK(text ==
        "#1 [a 1/1] RUN a\n#1 first\n#1 ...\n\n#2 [b 1/1] RUN b\n#2 second\n#2 CACHED\n\n#1 [a 1/1] RUN a\n#1 CACHED\n");
}

TEST_CASE("a failed step repeats what it said last", "[build]") {
  const std::string text = printed(ProgressMode::plain, [](Progress& progress) {
    const auto a = progress.begin("[1/1] RUN a");
    progress.output(a, "half ");
    progress.output(a, "line\nrest");
    progress.error(a, "it broke");
  });
  CHECK(text.find(" half line\n") != std::string::npos);
  CHECK(text.find(" rest\n#1 ERROR: it broke\n------\n > [1/1] RUN a:\n") != std::string::npos);
  CHECK(text.ends_with("rest\n------\n"));
}

TEST_CASE("JSON progress has one object a line", "[build]") {
  const std::string text = printed(ProgressMode::json, [](Progress& progress) {
    const auto a = progress.begin("say \"hi\"");
    progress.cached(a);
    progress.result("sha256:1");
  });
  CHECK(text.starts_with("{\"vertex\":1,\"name\":\"say \\\"hi\\\"\",\"event\":\"start\",\"seconds\":0.000}\n"));
  CHECK(text.find("\"event\":\"cached\"") != std::string::npos);
  CHECK(text.find("{\"event\":\"result\",\"image_id\":\"sha256:1\"") != std::string::npos);
}

TEST_CASE("sizes print as BuildKit's", "[build]") {
  CHECK(size_text(2) == "2B");
  CHECK(size_text(1982256) == "1.98MB");
}

TEST_CASE("git contexts name a repository, a reference and a folder", "[build]") {
  CHECK(is_git("https://host/a.git#main:sub"));
  CHECK(is_git("git@host:a/b"));
  CHECK_FALSE(is_git("https://host/a.tar.gz"));
  CHECK_FALSE(is_git("/folder/a.git"));
  const auto source = parse_git("https://host/a.git#v1:docker/../x");
  REQUIRE(source);
  CHECK(source->repository == "https://host/a.git");
  CHECK(source->reference == "v1");
  CHECK(source->folder == "x");
  CHECK(parse_git("https://host/a.git#v1:../../etc")->folder == "etc");
  CHECK_FALSE(parse_git("git@host:a#--upload-pack=x").has_value());
  CHECK(is_git("user-1@host.example:a/b"));
  CHECK_FALSE(is_git("a/b@c:d"));
  CHECK_FALSE(is_git("/x@y:z"));
}

TEST_CASE("a git context's query is read as BuildKit reads it", "[build]") {
  const std::string url = "https://host/a.git", commit(40, 'a');
  const auto source = [&](const std::string& rest) {
    CHECK(is_git(url + rest));
    return parse_git(url + rest);
  };
  CHECK(source("?ref=br&subdir=d%2Fe")->reference == "br");
  CHECK(source("?ref=br&subdir=d%2Fe")->folder == "d/e");
  CHECK(source("?ref=br")->repository == url);
  CHECK(source("?branch=b")->reference == "refs/heads/b");
  CHECK(source("?tag=refs/tags/t")->reference == "refs/tags/t");
  CHECK(source("?subdir=d#main")->reference == "main");
  CHECK(source("?commit=" + commit)->reference == commit);
  CHECK(source("?checksum=aaaa")->reference.empty());
  CHECK(source("?checksum=aaaa")->checksum == "aaaa");
  CHECK(source("?keep-git-dir&submodules=0")->keep_git_dir);
  CHECK_FALSE(source("?keep-git-dir&submodules=0")->submodules);
  CHECK(source("")->submodules);
  const auto wrong = [&](const std::string& rest) { return source(rest).error().text(); };
  CHECK(wrong("?ref=a&ref=b") == "query \"ref\" has multiple values");
  CHECK(wrong("?ref=") == "query \"ref\" has no value");
  CHECK(wrong("?foo=1") == "unexpected query \"foo\"");
  CHECK(wrong("?branch=a&tag=b") == "branch conflicts with tag");
  CHECK(wrong("?ref=a&branch=a") == "ref conflicts: \"a\" vs \"refs/heads/a\"");
  CHECK(wrong("?ref=a#b") == "ref conflicts: \"b\" vs \"a\"");
  CHECK(wrong("?submodules=maybe") == "invalid submodules value: \"maybe\"");
  CHECK_FALSE(source("?ref=--upload-pack=x").has_value());
  auto expected = *source("");
  CHECK(expect_commit(expected, commit));
  CHECK(expected.reference == commit);
  CHECK_FALSE(expect_commit(expected, "bb"));
}

TEST_CASE("a download's name is the last part of its address", "[build]") {
  CHECK(url_file_name("http://h/d/a.txt?x=/y#z") == "a.txt");
  CHECK(url_file_name("http://h/a%20b.txt") == "a b.txt");
  CHECK(url_file_name("http://h/a%2Fb.txt") == "b.txt");
  CHECK(url_file_name("http://h/a%zz") == "a%zz");
  CHECK(url_file_name("http://h/d/") == "d");
  for (const char* none : {"http://h", "http://h/", "http://h/..", "http://h/%2e%2e", "http://h/a%00"}) CHECK(url_file_name(none) == "__unnamed__");
}

TEST_CASE("places of build caches are read from Compose's texts", "[build]") {
  CHECK(parse_cache_place("app:cache", false)->where == "docker://app:cache");
  CHECK(parse_cache_place("type=registry,ref=r:5000/a,mode=max", true)->where == "docker://r:5000/a");
  CHECK(parse_cache_place("type=registry,ref=r:5000/a,mode=max", true)->whole);
  CHECK(parse_cache_place("type=registry,ref=r:5000/a,image-manifest=true,oci-mediatypes=true,compression=gzip", true));
  CHECK_FALSE(parse_cache_place("type=registry,ref=r:5000/a,image-manifest=false", true));
  CHECK(parse_cache_place("type=local,src=/c", false)->where == "oci:/c:latest");
  CHECK(parse_cache_place("type=local,dest=/c,tag=t", true)->where == "oci:/c:t");
  for (const char* wrong : {"", "type=gha", "type=inline", "type=local", "type=local,dest=/c", "type=registry,ref=a,foo=1", "type=registry,ref=a,mode=max", "x=1"})
    CHECK_FALSE(parse_cache_place(wrong, false));
  CHECK_FALSE(parse_cache_place("type=local,dest=/c,mode=some", true));
  CHECK(parse_cache_place("type=inline", true)->in_image);
  CHECK_FALSE(parse_cache_place("type=inline,mode=max", true));
}

TEST_CASE("a binfmt handler is known by the machine its magic names", "[build]") {
  const std::string aarch64 = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\nmagic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
  CHECK(handles(aarch64, 183, false));
  CHECK_FALSE(handles(aarch64, 243, false));
  CHECK_FALSE(handles("disabled" + aarch64.substr(7), 183, false));
  const std::string s390x = "enabled\ninterpreter /q\nflags: \noffset 0\nmagic 7f454c4602020100000000000000000000020016\nmask ffffffffffffff00fffffffffffffffffffeffff\n";
  CHECK(handles(s390x, 22, true));
  CHECK_FALSE(handles(s390x, 22, false));
  CHECK_FALSE(handles("enabled\ninterpreter /j\nflags: \nextension .jar\n", 183, false));
  CHECK_FALSE(handles("", 183, false));
}
