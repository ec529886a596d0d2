// The build checks where they meet base images, and what RUN makes of users, caches and working directories. Compared with Docker 28.5.
#include "engine/build/build_hooks.h"
#include "tests/kernel/build/world.h"

using namespace build_test;

namespace {

std::string made(const World& world, const std::string& id, const std::string& name) {
  const auto text = base::sys::read_file(world.image(id).layer_dirs.back() / name);
  return text ? *text : "missing: " + text.error().text();
}

}  // namespace

TEST_CASE("warnings about a base image's variables and platform follow a build, a failed one too", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.tags = {"checks-base:1"};
  request.platforms = {"linux/arm64"};
  REQUIRE(world.build("FROM scratch\nENV GIVEN=1\nSHELL [\"/bin/x\", \"-c\"]\n", request));
  BuildRequest plain;
  plain.platforms = {"linux/arm64"};
  const auto built = world.build("FROM checks-base:1\nENV A=$GIVEN B=$GIVN\nCMD x\n", plain);
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(world.output.find("1 warning found:\n - UndefinedVar: Usage of undefined variable '$GIVN' (did you mean $GIVEN?) (line 2)") != std::string::npos);
  CHECK(world.image(built->image_id).config.platform() == "linux/arm64");
  CHECK_FALSE(world.build("FROM checks-base:1\nENV A=$GIVN\nCOPY gone /\n", plain));
  CHECK(world.output.find("UndefinedVar: Usage of undefined variable '$GIVN'") != std::string::npos);
  CHECK_FALSE(world.build("# check=error=true\nFROM checks-base:1\nENV A=$GIVN\nRUN [\"gone\"]\n", plain));
  CHECK(world.problem.find("lint violation found for rules: UndefinedVar") != std::string::npos);
  BuildRequest skip = plain;
  skip.args["BUILDKIT_DOCKERFILE_CHECK"] = "skip=all";
  REQUIRE(world.build("# check=error=true\nFROM checks-base:1\nENV A=$GIVN\n", skip));
  CHECK(world.output.find("warning") == std::string::npos);

  // A base that is for another platform is said and used: here what a registry would give.
  const auto image = world.image(built->image_id);
  const auto out = base::sys::open(world.temp.path() / "out", O_RDWR | O_CREAT | O_TRUNC, 0600);
  BuildRequest foreign;
  foreign.context = world.context.string();
  foreign.dockerfile_inline = "FROM other.test/foreign:1\nENV A=b\n";
  BuildHooks hooks;
  hooks.pull = [&](store::Store& store, const std::string& reference, const std::string&) -> base::Result<std::string> {
    if (auto named = images::ImageStore(store).tag(image.id, reference); !named) return std::move(named).error();
    return image.id;
  };
  const auto taken = build_image_with(foreign, out->borrow(), hooks);
  const auto output = *base::sys::read_file(world.temp.path() / "out");
  INFO(output);
  REQUIRE(taken);
  CHECK(output.find("InvalidBaseImagePlatform: Base image other.test/foreign:1 was pulled with platform \"linux/arm64\"") != std::string::npos);
}

TEST_CASE("a platform that is asked for is the image's, one of FROM scratch is not", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.platforms = {"linux/arm"};
  auto built = world.build("FROM --platform=$BUILDPLATFORM scratch\nARG TARGETVARIANT\nENV V=$TARGETVARIANT\n", request);
  REQUIRE(built);
  CHECK(world.image(built->image_id).config.platform() == "linux/arm/v7");
  CHECK(world.image(built->image_id).config.env.back() == "V=v7");
  built = world.build("FROM --platform=linux/s390x scratch\nENV A=b\n");
  REQUIRE(built);
  CHECK(world.image(built->image_id).config.platform() == images::host_platform());
}

TEST_CASE("mounts of one cache in one step are one folder, however they are shared", "[build]") {
  NEED_BUILDS();
  for (const std::string modes : {"private private", "locked locked", "locked shared", "shared locked", "private locked"}) {
    World world;
    const auto blank = modes.find(' ');
    const auto mount = [&](const std::string& target, const std::string& mode) { return "--mount=type=cache,id=one,target=" + target + ",sharing=" + mode + " "; };
    const auto built = world.build(World::base() + "RUN " + mount("/a", modes.substr(0, blank)) + mount("/b", modes.substr(blank + 1)) + "touch /a/x && ls /b > /o\n");
    INFO(modes << world.output << world.problem);
    REQUIRE(built);
    CHECK(made(world, built->image_id, "o") == "x\n");
  }
}

TEST_CASE("caches of one id that begin as copies of different things are different caches", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() + "FROM base AS s\nRUN mkdir /s && touch /s/seed\nFROM base AS t\nRUN mkdir /s && touch /s/other\nFROM base\n"
                                 "RUN --mount=type=cache,id=c,target=/a touch /a/plain\n"
                                 "RUN --mount=type=cache,id=c,target=/a,from=s,source=/s touch /a/x; ls /a > /o\n"
                                 "RUN --mount=type=cache,id=c,target=/a,from=t,source=/s ls /a >> /o\n"
                                 "RUN --mount=type=cache,id=c,target=/b,from=s,source=/s ls /b >> /o\n"
                                 "RUN --mount=type=cache,id=c,target=/a ls /a >> /o\n"
                                 "RUN --mount=type=cache,id=c,target=/a,uid=5,mode=0700 --mount=type=cache,id=c,target=/b,uid=6 stat -c '%u %a' /a /b >> /o\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "seed\nx\nother\nseed\nx\nplain\n5 700\n6 755\n");
}

TEST_CASE("a step without accounts runs as root or as UID:GID only", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() + "USER 5:6\nRUN [\"/bin/true\"]\nUSER root:root\nRUN echo \"$(id -u) $(id -g)\" > /o\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "0 0\n");
  CHECK_FALSE(world.build(World::base() + "USER 5\nRUN [\"/bin/true\"]\n"));
  CHECK(world.problem.find("unable to find user 5: ") != std::string::npos);
  CHECK(world.build(World::base() + "RUN mkdir -p /etc && touch /etc/passwd\nUSER 5\nRUN [\"/bin/true\"]\n"));
}

TEST_CASE("a working directory is entered as it is written, what is missing on the way is made", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() + "RUN mkdir -p /t/u && ln -s /t/u /link\nWORKDIR /a/b/../c\nRUN echo /a/* /a/b/* > /o\nWORKDIR /link/../v\nRUN /bin/busybox pwd -P >> /o\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "/a/b /a/c /a/b/*\n/t/v\n");
}

TEST_CASE("a trigger of a base image may copy from a stage above, which nothing else needs", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest request;
  request.tags = {"triggers:1"};
  REQUIRE(world.build("FROM scratch\nONBUILD COPY --from=made /x /x\n", request));
  const auto built = world.build(World::base() + "FROM base AS made\nRUN echo 1 > /x\nFROM triggers:1\n");
  INFO(world.output << world.problem);
  REQUIRE(built);
  CHECK(world.top_layer(built->image_id) == "x 1\n\n");
  CHECK_FALSE(world.build("FROM triggers:1 AS late\nFROM scratch AS made\nFROM late\n"));
  CHECK(world.problem.find("cannot copy from stage \"made\", it needs to be defined before current stage \"late\"") != std::string::npos);
  CHECK_FALSE(world.build(World::base() + "FROM base AS made\nRUN exit 3\nFROM triggers:1\n"));
  CHECK(world.problem.find("exit code: 3") != std::string::npos);
}
