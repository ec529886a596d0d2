// Real builds: overlay, image store and runtime, in state folders of their own.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include <catch2/catch.hpp>

#include "base/process.h"
#include "base/sys.h"
#include "engine/build/build.h"
#include "engine/build/git.h"
#include "engine/build/step_network.h"
#include "engine/images/image_store.h"
#include "tests/kernel/build/world.h"

using namespace engine;
using namespace engine::build;
using namespace build_test;

TEST_CASE("a build from scratch runs commands in its own root and is cached the second time", "[build]") {
  NEED_BUILDS();
  World world;
  const std::string text = World::base() + "ENV A=b\nWORKDIR /work\nRUN echo $A > made; echo out; echo err >&2\nCMD [\"cat\", \"made\"]\n";
  const auto first = world.build(text);
  INFO(world.output << world.problem);
  REQUIRE(first);
  CHECK(world.top_layer(first->image_id) == "work/\nwork/made b\n\n");
  CHECK(world.output.find("[6/6] RUN echo b > made; echo out; echo err >&2") != std::string::npos);
  CHECK(world.output.find(" out\n") != std::string::npos);
  CHECK(world.output.find(" err\n") != std::string::npos);
  const auto image = world.image(first->image_id);
  CHECK(image.config.working_dir == "/work");
  CHECK(image.config.cmd == std::vector<std::string>{"cat", "made"});
  CHECK(image.config.diff_ids.size() == 6);
  CHECK(image.config.history.back().created_by == "CMD [\"cat\" \"made\"]");
  const auto second = world.build(text);
  REQUIRE(second);
  CHECK(second->image_id == first->image_id);
  CHECK(count(world.output, "CACHED") == 6);
}

TEST_CASE("nothing but what a command did is in its layer", "[build]") {
  NEED_BUILDS();
  World world;
  const auto nothing = world.build(World::base() + "RUN true\n");
  INFO(world.output << world.problem);
  REQUIRE(nothing);
  // Docker leaves the three folders the runtime mounts on, in the first layer that runs something.
  CHECK(World::layer(world.image(nothing->image_id).layer_dirs[2]).find("dev/\nproc/\nsys/\n") != std::string::npos);
  CHECK(world.top_layer(nothing->image_id).empty());
  CHECK(world.image(nothing->image_id).config.diff_ids.back() == "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef");
  const auto mounts = world.build(World::base() +
                                  "RUN --mount=type=tmpfs,target=/x/y --mount=type=cache,target=/c echo hi > /etc/f; touch /x/y/z /c/k\n");
  INFO(world.output << world.problem);
  REQUIRE(mounts);
  CHECK(world.top_layer(mounts->image_id) == "etc/\netc/f hi\n\n");
  const auto removed = world.build(World::base() + "RUN mkdir /d && echo x > /d/a && echo y > /d/b\nRUN rm /d/a\n");
  REQUIRE(removed);
  CHECK(world.top_layer(removed->image_id) == "-d/a\nd/\n");
}

TEST_CASE("a stage's files are copied and unused stages are not built", "[build]") {
  NEED_BUILDS();
  World world;
  const std::string text = World::base() +
                           "RUN mkdir /out && echo built > /out/app && ln -s app /out/link\n"
                           "FROM base AS broken\nRUN false\n"
                           "FROM scratch\nCOPY --from=base --chown=5:6 /out /app/\nCOPY --from=0 /marker /m\nENTRYPOINT [\"/app/app\"]\n";
  const auto built = world.build(text);
  INFO(world.output << world.problem);
  REQUIRE(built);
  const auto image = world.image(built->image_id);
  REQUIRE(image.layer_dirs.size() == 2);
  CHECK(World::layer(image.layer_dirs[0]) == "app/\napp/app built\n\napp/link -> app\n");
  struct stat info {};
  REQUIRE(::lstat((image.layer_dirs[0] / "app/app").c_str(), &info) == 0);
  CHECK(info.st_uid == 5);
  CHECK(info.st_gid == 6);
  CHECK(world.output.find("broken") == std::string::npos);
  // A stage built anew with the same result leaves the copy cached.
  BuildRequest request;
  request.no_cache_filter = {"base"};
  const auto again = world.build(text, request);
  REQUIRE(again);
  CHECK(world.output.find("[stage-2 1/2] COPY --from=base --chown=5:6 /out /app/\n#") != std::string::npos);
}

TEST_CASE("a new folder behind links lands where the links lead", "[build]") {
  NEED_BUILDS();
  World world;
  world.write("tree/sub/f", "F");
  const auto built = world.build(World::base() + "RUN mkdir -p /real/in && ln -s /real /link && ln -s in /real/rel\n" +
                                 "COPY tree marker /link/rel/new/\nCOPY tree /link/rel/new\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  const auto image = world.image(built->image_id);
  CHECK(World::layer(image.layer_dirs.end()[-2]) ==
        std::string("real/\nreal/in/\nreal/in/new/\nreal/in/new/marker ") + marker + "\nreal/in/new/sub/\nreal/in/new/sub/f F\n");
  CHECK(world.top_layer(built->image_id) == "real/\nreal/in/\nreal/in/new/\nreal/in/new/sub/\nreal/in/new/sub/f F\n");
}

TEST_CASE("a failing command shows its lines, its output and its exit code", "[build]") {
  NEED_BUILDS();
  World world;
  CHECK_FALSE(world.build(World::base() + "RUN echo before; exit 3\nRUN echo never\n"));
  CHECK(world.problem == "failed to solve: process \"/bin/sh -c echo before; exit 3\" did not complete successfully: exit code: 3");
  CHECK(world.excerpt.find("Dockerfile:6\n--------------------\n") == 0);
  CHECK(world.excerpt.find("   6 | >>> RUN echo before; exit 3\n") != std::string::npos);
  CHECK(world.output.find("ERROR: process \"/bin/sh -c echo before; exit 3\" did not complete successfully: exit code: 3") != std::string::npos);
  CHECK(count(world.output, " before\n") == 2);
  // What went well before it is kept.
  CHECK(world.build(World::base()));
  CHECK(count(world.output, "CACHED") == 4);
  CHECK(fs::is_empty(world.state / "build" / "tmp"));
}

TEST_CASE("the first failure stops what runs beside it", "[build]") {
  NEED_BUILDS();
  World world;
  const auto begun = std::chrono::steady_clock::now();
  CHECK_FALSE(world.build(World::base() + "FROM base AS slow\nRUN sleep 100\nFROM base AS bad\nRUN sleep 1; exit 9\nFROM scratch\n" +
                          "COPY --from=slow /marker /a\nCOPY --from=bad /marker /b\n"));
  CHECK(std::chrono::steady_clock::now() - begun < std::chrono::seconds(30));
  CHECK(world.problem == "failed to solve: process \"/bin/sh -c sleep 1; exit 9\" did not complete successfully: exit code: 9");
  CHECK(world.output.find(" CANCELED\n") != std::string::npos);
}

TEST_CASE("a command runs in an empty image when its files are mounted", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build("FROM scratch\nRUN --mount=target=/ctx [\"/ctx/busybox\", \"touch\", \"/made\"]\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(world.top_layer(built->image_id) == "dev/\nmade \nproc/\nsys/\n");
}

TEST_CASE("one commit of a git repository is fetched", "[build]") {
  NEED_BUILDS();
  if (!fs::exists("/usr/bin/git")) SKIP_TEST("needs git");
  World world;
  const auto repository = (world.temp.path() / "repo.git").string();
  const auto git = [&](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"git", "-C", repository, "-c", "user.name=t", "-c", "user.email=t@t", "-c", "init.defaultBranch=main"});
    base::SpawnOptions options;
    options.program = "/usr/bin/git";
    options.arguments = arguments;
    auto child = base::ChildProcess::spawn(options);
    REQUIRE(child);
    REQUIRE(child->wait()->code == 0);
  };
  world.temp.write("repo.git/sub/Dockerfile", "FROM scratch\nCOPY f /f\n");
  world.temp.write("repo.git/sub/f", "from git");
  fs::create_symlink("sub", fs::path(repository) / "link");
  git({"init", "-q"});
  git({"add", "."});
  git({"commit", "-q", "-m", "x"});
  git({"tag", "v1"});
  auto session = Session::open();
  REQUIRE(session);
  const auto umask_before = ::umask(0);  // as a build has it
  const auto checkout = fetch_git(*session, {.repository = repository, .reference = "v1", .folder = "sub"});
  ::umask(umask_before);
  INFO((checkout ? "" : checkout.error().text()));
  REQUIRE(checkout);
  CHECK(*base::sys::read_file(checkout->folder / "f") == "from git");
  CHECK_FALSE(fs::exists(checkout->folder.parent_path() / ".git"));
  CHECK(checkout->commit.size() == 40);
  CHECK(fs::status(checkout->folder / "f").permissions() == fs::perms(0644));
  CHECK(fs::status(checkout->folder).permissions() == fs::perms(0755));
  CHECK_FALSE(fetch_git(*session, {.repository = repository, .reference = "nope"}));
  // A folder is one of the commit's own, reached without links.
  CHECK(fetch_git(*session, {.repository = repository, .folder = "link"}).error().text().find("no folder link") != std::string::npos);
  // What is expected may be the commit's beginning, or the object of an annotated tag.
  CHECK(fetch_git(*session, {.repository = repository, .checksum = checkout->commit.substr(0, 8)}));
  CHECK(fetch_git(*session, {.repository = repository, .checksum = "0000000"}).error().text().find("expected checksum to match 0000000") != std::string::npos);
  git({"tag", "-a", "v2", "-m", "x"});
  const auto object = *base::sys::read_file(fs::path(repository) / ".git/refs/tags/v2");
  CHECK(object.substr(0, 40) != checkout->commit);
  CHECK(fetch_git(*session, {.repository = repository, .reference = "v2", .checksum = object.substr(0, 40)}));
  const auto kept = fetch_git(*session, {.repository = repository, .keep_git_dir = true});
  REQUIRE(kept);
  CHECK(fs::exists(kept->folder / ".git/HEAD"));
  CHECK_FALSE(fs::exists(kept->folder / ".git/FETCH_HEAD"));
  CHECK_FALSE(fs::exists(kept->folder / ".git/logs/HEAD"));
  const auto tagged = fetch_git(*session, {.repository = repository, .reference = "v2", .keep_git_dir = true});
  REQUIRE(tagged);
  CHECK(*base::sys::read_file(tagged->folder / ".git/refs/tags/v2") == object);
  const auto branch = fetch_git(*session, {.repository = repository, .reference = "main", .keep_git_dir = true});
  REQUIRE(branch);
  CHECK(*base::sys::read_file(branch->folder / ".git/refs/heads/main") == branch->commit + "\n");
}

TEST_CASE("a command that is not there fails with 127", "[build]") {
  NEED_BUILDS();
  World world;
  CHECK_FALSE(world.build(World::base() + "RUN [\"/no/such\"]\n"));
  CHECK(world.problem.find("did not complete successfully: exit code: 127") != std::string::npos);
}

TEST_CASE("errors before anything runs name the line", "[build]") {
  NEED_BUILDS();
  World world;
  CHECK_FALSE(world.build("FROM scratch\nRUNN x\n"));
  CHECK(world.problem == "failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)");
  CHECK(world.excerpt.find("   2 | >>> RUNN x\n") != std::string::npos);
  CHECK_FALSE(world.build("FROM scratch\nCOPY missing /x\n"));
  CHECK(world.problem == "failed to solve: failed to compute cache key: failed to calculate checksum: \"/missing\": not found");
  CHECK(world.excerpt.find("   2 | >>> COPY missing /x\n") != std::string::npos);
  BuildRequest request;
  request.dockerfile = "Nofile";
  CHECK_FALSE(world.build("FROM scratch\n", request));
  CHECK(world.problem == "failed to solve: failed to read dockerfile: open Nofile: no such file or directory");
}

TEST_CASE("links in a hostile context reach nothing outside", "[build]") {
  NEED_BUILDS();
  World world;
  world.temp.write("outside/secret", "secret");
  fs::create_symlink(world.temp.path() / "outside", world.context / "abs");
  fs::create_symlink("../outside", world.context / "rel");
  fs::create_directories(world.context / "dir");
  fs::create_symlink("../../outside/secret", world.context / "dir/deep");
  CHECK_FALSE(world.build("FROM scratch\nCOPY abs/secret /x\n"));
  CHECK_FALSE(world.build("FROM scratch\nCOPY rel /x\n"));
  const auto kept = world.build("FROM scratch\nCOPY dir /x\n");  // a nested link is only a link
  REQUIRE(kept);
  CHECK(world.top_layer(kept->image_id) == "x/\nx/deep -> ../../outside/secret\n");
  const auto bound = world.build(World::base() + "RUN --mount=target=/ctx ! cat /ctx/abs/secret && ! cat /ctx/dir/deep\n");
  INFO(world.output << world.problem);
  CHECK(bound);
}

TEST_CASE("heredocs become commands and files", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() +
                                 "ARG NAME=joe\nRUN <<EOF\nmkdir /h\necho one > /h/a\necho $NAME >> /h/a\nEOF\n"
                                 "RUN <<EOF\n#!/bin/busybox sh\necho script > /h/b\nEOF\n"
                                 "COPY <<one <<-\"two\" /h/\nhello $NAME\none\n\tcost $5\n\ttwo\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  const auto image = world.image(built->image_id);
  CHECK(World::layer(image.layer_dirs.end()[-3]) == "h/\nh/a one\njoe\n\n");
  CHECK(World::layer(image.layer_dirs.end()[-2]) == "h/\nh/b script\n\n");
  CHECK(World::layer(image.layer_dirs.back()) == "h/\nh/one hello joe\n\nh/two cost $5\n\n");
}

TEST_CASE("secrets reach the command and nothing else", "[build]") {
  NEED_BUILDS();
  World world;
  world.temp.write("token", "t0ken");
  BuildRequest request;
  request.secrets = {{"file", (world.temp.path() / "token").string(), ""}, {"var", "", "BUILD_TEST_SECRET"}};
  ::setenv("BUILD_TEST_SECRET", "fr0m-env", 1);
  const auto built = world.build(
      World::base() +
          "RUN --mount=type=secret,id=file --mount=type=secret,id=var,env=TOKEN --mount=type=secret,id=none "
          "test \"$(cat /run/secrets/file | rev)\" = nek0t && test $TOKEN = fr0m-e''nv && stat -c %a /run/secrets/file && ! test -e /run/secrets/none\n",
      request);
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(world.output.find(" 400\n") != std::string::npos);
  CHECK(world.top_layer(built->image_id).empty());
  CHECK(world.image(built->image_id).config.history.back().created_by.find("fr0m-env") == std::string::npos);
  CHECK_FALSE(world.build(World::base() + "RUN --mount=type=secret,id=gone,required true\n", request));
  CHECK(world.problem.find("secret gone: not found") != std::string::npos);
}

TEST_CASE("caches last from build to build and binds are read-only", "[build]") {
  NEED_BUILDS();
  World world;
  CHECK(world.build(World::base() + "RUN --mount=type=cache,target=/c,id=k echo kept > /c/f\n"));
  const auto built = world.build(World::base() +
                                 "FROM base\nRUN --mount=type=cache,target=/other,id=k cat /other/f > /got\n"
                                 "RUN --mount=from=base,source=/bin,target=/t/b --mount=type=tmpfs,target=/t --mount=from=scratch,target=/s "
                                 "test -x /t/b/busybox && test -z \"$(ls /s)\"\n"
                                 "RUN --mount=from=base,source=/bin,target=/b --mount=source=marker,target=/m "
                                 "! touch /b/x && cat /m > /got && ! echo x > /m\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(World::layer(world.image(built->image_id).layer_dirs.end()[-3]) == "got kept\n\n");
  CHECK(world.top_layer(built->image_id) == std::string("got ") + marker + "\n");
}

TEST_CASE("users, arguments and the default sandbox are Docker's", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(
      World::base() +
      "RUN mkdir -p /etc && echo root:x:0:0:root:/root:/bin/sh > /etc/passwd && echo joe:x:1000:100:joe:/home/joe:/bin/sh >> /etc/passwd && "
      "echo users:x:100: > /etc/group && echo extra:x:77:joe >> /etc/group\n"
      "USER joe\nWORKDIR /home/joe\nARG V=1\nRUN id -u; id -g; id -G; echo $HOME; echo v=$V; umask; stat -c %u:%g /home/joe; "
      "grep CapBnd /proc/self/status; grep Seccomp: /proc/self/status; hostname; cat /etc/hosts\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  for (const char* line : {" 1000\n", " 100\n", " 100 77\n", " /home/joe\n", " v=1\n", " 0022\n", " 1000:100\n", " buildkitsandbox\n",
                           " CapBnd:\t00000000a80425fb\n", " Seccomp:\t2\n", "127.0.0.1\tlocalhost buildkitsandbox\n"}) {
    INFO(line << "\n" << world.output);
    CHECK(world.output.find(line) != std::string::npos);
  }
}

TEST_CASE("a changed file builds only what comes after it", "[build]") {
  NEED_BUILDS();
  World world;
  world.write("a", "1");
  world.write("b", "1");
  const std::string text = World::base() + "COPY a /a\nRUN echo x > /after-a\nCOPY b /b\n";
  REQUIRE(world.build(text));
  world.write("b", "2");
  REQUIRE(world.build(text));
  CHECK(count(world.output, "CACHED") == 6);
  world.write("a", "2");
  REQUIRE(world.build(text));
  CHECK(count(world.output, "CACHED") == 4);
}

TEST_CASE("a changed step is followed by new ones, even when it changed no file", "[build]") {
  NEED_BUILDS();
  World world;
  world.write("a", "1");
  const auto text = [](const std::string& word) { return World::base() + "RUN echo " + word + "\nCOPY a /a\nWORKDIR /bin\n"; };
  REQUIRE(world.build(text("one")));
  REQUIRE(world.build(text("two")));
  CHECK(count(world.output, "CACHED") == 4);
  REQUIRE(world.build(text("one")));
  CHECK(count(world.output, "CACHED") == 7);
}

TEST_CASE("ONBUILD triggers run in the child and only there", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest parent;
  parent.tags = {"test/parent"};
  REQUIRE(world.build(World::base() + "ONBUILD COPY marker /triggered\nONBUILD ENV T=1\n", parent));
  CHECK(world.output.find("naming to docker.io/test/parent done") != std::string::npos);
  const auto child = world.build("FROM test/parent\nRUN cat /triggered\n");
  INFO(world.output << world.problem);
  REQUIRE(child);
  CHECK(world.output.find("[2/4] ONBUILD COPY marker /triggered") != std::string::npos);
  const auto image = world.image(child->image_id);
  CHECK(image.config.on_build.empty());
  CHECK(image.config.env.back() == "T=1");
}

TEST_CASE("COPY --from keeps owners, and --chown changes them", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() + "RUN mkdir /s && echo x > /s/f && chown 5:6 /s/f\nFROM base\nCOPY --from=base /s /kept\n" +
                                 "COPY --from=base --chown=7:8 /s /set\nRUN stat -c %u:%g /kept/f /set/f\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(world.output.find(" 5:6\n") != std::string::npos);
  CHECK(world.output.find(" 7:8\n") != std::string::npos);
}

TEST_CASE("a command has a network of its own that leads out, none, or the machine's", "[build]") {
  NEED_BUILDS();
  World world;
  const std::string look = "ls /sys/class/net | tr '\\n' ' '; cat /proc/net/route | wc -l\n";
  const auto built = world.build(World::base() + "RUN echo own; " + look + "RUN --network=none echo none; " + look);
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(world.output.find(" eth0 lo 3\n") != std::string::npos);  // a header, the subnet, the default route
  CHECK(world.output.find(" lo 1\n") != std::string::npos);
  CHECK_FALSE(world.build(World::base() + "RUN --network=host true\n"));
  CHECK(world.problem.find("granting entitlement network.host is not allowed") != std::string::npos);
  BuildRequest host;
  host.network = "host";
  CHECK(world.build(World::base() + "RUN --network=host true\n", host));
}

TEST_CASE("the network of a build is gone with it", "[build]") {
  NEED_BUILDS();
  const auto seen = support::in_namespaces(CLONE_NEWNET | CLONE_NEWNS, []() -> std::string {
    support::TempDir temp;
    ::setenv("COMPOSE_STATE_DIR", (temp.path() / "state").c_str(), 1);
    ::setenv("COMPOSE_RUN_DIR", (temp.path() / "run").c_str(), 1);
    const auto links = [] {
      const auto table = base::sys::read_file("/proc/thread-self/net/dev", 1 << 20);
      if (!table) return table.error().text();
      std::string text;
      for (std::size_t at = table->find("cps-"); at != std::string::npos; at = table->find("cps-", at + 1)) text += "uplink ";
      return text;
    };
    auto session = Session::open();
    if (!session) return session.error().text();
    std::string seen_links;
    {
      StepNetwork network(*session);
      const auto one = network.connect("1"), two = network.connect("2");
      if (!one || !two) return one ? two.error().text() : one.error().text();
      seen_links = links() + (network.host_gateway().empty() ? "no gateway" : "gateway");
      network.disconnect("1");
    }
    return seen_links + "|" + links();
  });
  if (!seen) SKIP_TEST(seen.error().text());
  CHECK(*seen == "uplink gateway|");
}

TEST_CASE("a check builds nothing, and warnings follow a build", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.check = true;
  CHECK_FALSE(world.build("FROM scratch\nMAINTAINER me\nRUN false\n", request));
  CHECK(world.output.find("WARNING: MaintainerDeprecated - https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/\n") != std::string::npos);
  CHECK(world.output.find("   2 | >>> MAINTAINER me\n") != std::string::npos);
  CHECK(world.build("FROM scratch\nRUN [\"false\"]\n", request));
  CHECK(world.output.find("Check complete, no warnings found.") != std::string::npos);
  CHECK(world.build("FROM scratch\nMAINTAINER me\n"));
  CHECK(world.output.find("1 warning found:\n - MaintainerDeprecated: ") != std::string::npos);
  CHECK_FALSE(world.build("# check=error=true\nFROM scratch\nMAINTAINER me\n"));
  CHECK(world.problem.find("lint violation found for rules: MaintainerDeprecated") != std::string::npos);
}

TEST_CASE("an exported cache spares another machine the work", "[build]") {
  NEED_BUILDS();
  World world;
  const auto folder = (world.temp.path() / "cache").string();
  const std::string text = World::base() + "FROM base AS other\nRUN echo other > /o\nFROM base\nCOPY --from=other /o /o\nRUN echo made > /m\n";
  BuildRequest request;
  request.cache_to = {"type=local,dest=" + folder + ",mode=max"};
  const auto first = world.build(text, request);
  INFO(world.output << world.problem);
  REQUIRE(first);
  // Another state folder is another machine.
  ::setenv("COMPOSE_STATE_DIR", (world.temp.path() / "elsewhere").c_str(), 1);
  request.cache_to.clear();
  request.cache_from = {"type=local,src=" + folder};
  const auto second = world.build(text, request);
  INFO(world.output << world.problem);
  REQUIRE(second);
  CHECK(second->image_id == first->image_id);
  CHECK(count(world.output, "CACHED") == 7);
  CHECK(world.output.find("ERROR") == std::string::npos);
  // What cannot be imported is said, and the build goes on.
  request.cache_from = {"type=local,src=/nowhere"};
  CHECK(world.build(text, request));
  CHECK(world.output.find("importing cache manifest from type=local,src=/nowhere") != std::string::npos);
  request.cache_to = {"type=gha"};
  CHECK_FALSE(world.build(text, request));
  CHECK(world.problem.find("type gha is not supported") != std::string::npos);
}

TEST_CASE("SOURCE_DATE_EPOCH makes two builds equal", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.args = {{"SOURCE_DATE_EPOCH", "1000000000"}};
  request.no_cache = true;
  const std::string text = World::base() + "RUN mkdir /d && echo x > /d/x\n";
  const auto first = world.build(text, request);
  REQUIRE(first);
  const auto second = world.build(text, request);
  REQUIRE(second);
  CHECK(first->image_id == second->image_id);
}

TEST_CASE("ADD unpacks archives and leaves other files alone", "[build]") {
  NEED_BUILDS();
  World world;
  world.write("tree/f", "F");
  base::SpawnOptions tar;
  tar.program = "/bin/tar";
  tar.arguments = {"tar", "-C", (world.context / "tree").string(), "--owner=7:7", "--group=8:8", "-czf", (world.context / "x.tgz").string(), "--mode=0700", "."};
  auto child = base::ChildProcess::spawn(tar);
  REQUIRE(child);
  REQUIRE(child->wait()->code == 0);
  const auto built = world.build("FROM scratch\nADD x.tgz marker /a/\nCOPY x.tgz /b/\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  const auto image = world.image(built->image_id);
  CHECK(World::layer(image.layer_dirs[0]) == std::string("a/\na/f F\na/marker ") + marker + "\n");
  struct stat info {};
  REQUIRE(::lstat((image.layer_dirs[0] / "a/f").c_str(), &info) == 0);
  CHECK(info.st_uid == 7);
  REQUIRE(::lstat((image.layer_dirs[0] / "a").c_str(), &info) == 0);
  CHECK(info.st_uid == 0);  // the archive's "./" says nothing about the destination
  CHECK((info.st_mode & 07777) == 0755);
  CHECK(fs::exists(image.layer_dirs[1] / "b/x.tgz"));
}

TEST_CASE("what a killed build left is removed by the next one", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.context = world.context.string();
  world.write("Dockerfile", World::base() + "RUN echo started; sleep 60\n");
  auto in = base::sys::pipe();
  auto out = base::sys::pipe();
  base::SpawnOptions worker;
  worker.program = fs::path(BIN_DIR) / "compose-image";
  worker.arguments = {"compose-image", "build"};
  worker.fds = {{in->first.borrow(), 0}, {out->second.borrow(), 1}};
  auto child = base::ChildProcess::spawn(worker);
  REQUIRE(child);
  REQUIRE(base::sys::write_all(in->second.borrow(), request_to_json(request)));
  in->second.reset();
  out->second.reset();
  std::string seen;
  std::vector<char> buffer(4096);
  while (seen.find(" started\n") == std::string::npos) {
    const auto got = base::sys::read(out->first.borrow(), buffer);
    REQUIRE(got);
    INFO(seen);
    REQUIRE(*got > 0);
    seen.append(buffer.data(), *got);
  }
  REQUIRE(child->kill(SIGKILL));
  REQUIRE(child->wait());
  CHECK_FALSE(fs::is_empty(world.state / "build" / "tmp"));
  REQUIRE(world.build("FROM scratch\nCOPY marker /\n"));
  CHECK(fs::is_empty(world.state / "build" / "tmp"));
  CHECK(fs::is_empty(world.temp.path() / "run" / "build"));
}

TEST_CASE("an interrupted build stops its command and says so", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.context = world.context.string();
  world.write("Dockerfile", World::base() + "RUN echo started; sleep 60\n");
  auto in = base::sys::pipe();
  auto out = base::sys::pipe();
  base::SpawnOptions worker;
  worker.program = fs::path(BIN_DIR) / "compose-image";
  worker.arguments = {"compose-image", "build"};
  worker.fds = {{in->first.borrow(), 0}, {out->second.borrow(), 1}};
  auto child = base::ChildProcess::spawn(worker);
  REQUIRE(child);
  REQUIRE(base::sys::write_all(in->second.borrow(), request_to_json(request)));
  in->second.reset();
  out->second.reset();
  std::string seen;
  std::vector<char> buffer(4096);
  while (seen.find(" started\n") == std::string::npos) {
    const auto got = base::sys::read(out->first.borrow(), buffer);
    REQUIRE(got);
    REQUIRE(*got > 0);
    seen.append(buffer.data(), *got);
  }
  REQUIRE(child->kill(SIGINT));
  const auto status = child->wait(std::chrono::seconds(10));
  REQUIRE(status);
  CHECK(status->code == 130);
  CHECK(fs::is_empty(world.state / "build" / "tmp"));
}
