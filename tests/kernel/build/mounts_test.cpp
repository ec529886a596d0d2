// RUN --mount and ADD where Docker's own habits decide what is seen. Compared with Docker 28.5.
#include <sys/stat.h>

#include "tests/kernel/build/world.h"
#include "tests/support/http_server.h"
#include "tests/support/tar_builder.h"

using namespace build_test;

namespace {

/// The lines of one file of the top layer.
std::string made(const World& world, const std::string& id, const std::string& name) {
  const auto text = base::sys::read_file(world.image(id).layer_dirs.back() / name);
  return text ? *text : "missing: " + text.error().text();
}

}  // namespace

TEST_CASE("a tmpfs looks like the folder it covers, and on a new place is for all", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() + "RUN mkdir -m 2750 /old\n"
                                 "RUN --mount=type=tmpfs,target=/old --mount=type=tmpfs,target=/new,size=1.5m "
                                 "stat -c '%a %n' /old /new > /o; df -k /new | tail -1 | awk '{print $2}' >> /o\n");
  INFO(world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "2750 /old\n1777 /new\n1536\n");
}

TEST_CASE("a new cache has the mode and owner asked for, less what others could write", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build(World::base() + "RUN mkdir -m 1751 /seed && echo s > /seed/f && chown 8:9 /seed /seed/f\nFROM base\n"
                                 "RUN --mount=type=cache,target=/a,mode=0777 --mount=type=cache,target=/b,mode=2770,uid=3,gid=4 "
                                 "--mount=type=cache,target=/c,from=base,source=/bin,id=c --mount=type=cache,target=/d,from=base,mode=700,uid=3,id=d "
                                 "stat -c '%a %u %g %n' /a /b /d > /o; ls /d | wc -l >> /o\n");
  INFO(world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "755 0 0 /a\n750 3 4 /b\n700 3 0 /d\n0\n");
}

TEST_CASE("steps that make one shared cache at once all see the whole of it", "[build]") {
  NEED_BUILDS();
  World world;
  std::string text = World::base() + "FROM base AS seed\nRUN mkdir /seed && i=0 && while [ $i -lt 300 ]; do echo $i >/seed/$i; i=$((i+1)); done\n";
  for (int round = 0; round < 4; ++round) {
    const auto id = std::to_string(round);
    std::string steps, copies;
    for (const char* stage : {"a", "b", "c"}) {
      steps += "FROM base AS " + (stage + id) + "\nRUN --mount=type=cache,from=seed,source=/seed,target=/d,id=" + id + " ls /d | wc -l >/" + stage + "\n";
      copies += "COPY --from=" + (stage + id) + " /" + stage + " /" + stage + "\n";
    }
    const auto built = world.build(text + steps + "FROM base\n" + copies + "RUN test \"$(cat /a /b /c | tr -d '\\n')\" = 300300300\n");
    INFO(world.output << world.problem);
    CHECK(built);
  }
}

TEST_CASE("a cache may be seeded with a folder or a file", "[build]") {
  NEED_BUILDS();
  World world;
  const std::string text = World::base() + "FROM base AS seed\nRUN mkdir -m 1751 /seed && echo s > /seed/f && chown 8:9 /seed /seed/f && chmod 640 /seed/f\nFROM base\n"
                           "RUN --mount=type=cache,target=/d,from=seed,source=/seed,id=d --mount=type=cache,target=/f,from=seed,source=/seed/f,id=f,mode=700 "
                           "stat -c '%a %u %g %n' /d /d/f /f > /o; echo more >> /f\n";
  const auto built = world.build(text);
  INFO(world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "1751 8 9 /d\n640 8 9 /d/f\n640 8 9 /f\n");
  const auto again = world.build(text + "RUN --mount=type=cache,target=/f,from=seed,source=/seed/f,id=f cat /f > /o\n");
  REQUIRE(again);
  CHECK(made(world, again->image_id, "o") == "s\nmore\n");
}

TEST_CASE("a bound context belongs to root, whoever its files are of", "[build]") {
  NEED_BUILDS();
  World world;
  world.write("d/f", "x");
  world.write("d/secret", "x");
  world.write(".dockerignore", "d/secret\n");
  REQUIRE(::chown((world.context / "d/f").c_str(), 5, 6) == 0);
  REQUIRE(::chmod((world.context / "d").c_str(), 0750) == 0);
  const auto built = world.build(World::base() + "RUN --mount=source=d,target=/m --mount=source=d/f,target=/n stat -c '%a %u %g %n' /m /m/* /n > /o\n");
  INFO(world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "750 0 0 /m\n644 0 0 /m/f\n644 0 0 /n\n");
  CHECK_FALSE(world.build(World::base() + "RUN --mount=source=d/secret,target=/m true\n"));
  CHECK(world.problem.find("\"/d/secret\": not found") != std::string::npos);
}

TEST_CASE("the network of a step counts, whoever asks for it", "[build]") {
  NEED_BUILDS();
  World world;
  BuildRequest none;
  none.network = "none";
  REQUIRE(world.build(World::base() + "RUN echo once > /o\n", none));
  REQUIRE(world.build(World::base() + "RUN --network=none echo once > /o\n", none));
  CHECK(count(world.output, "CACHED") == 5);
  REQUIRE(world.build(World::base() + "RUN --network=none echo once > /o\n"));
  CHECK(count(world.output, "CACHED") == 2);  // the RUNs of the base were without a network
}

TEST_CASE("ADD of an address keeps what is no archive, and names it as the address does", "[build]") {
  NEED_BUILDS();
  support::WebServer server([](const support::WebRequest& request) {
    support::WebAnswer answer;
    if (request.path.ends_with("a.tar")) answer.body = support::tar_archive({{.name = "inside", .content = "i"}});
    else if (request.path.starts_with("/text")) answer.body = "text";
    else answer.status = 404;
    return answer;
  });
  World world;
  const std::string address = "http://" + server.host();
  const auto built = world.build("FROM scratch\nADD --unpack --chmod=4755 " + address + "/text%20x /n/t/\nADD --unpack " + address + "/a.tar /u/\nADD " + address +
                                 "/a.tar /\nADD [\"" + address + "/text y\", \"/t/\"]\n");
  INFO(world.problem);
  REQUIRE(built);
  const auto layers = world.image(built->image_id).layer_dirs;
  REQUIRE(layers.size() == 4);
  CHECK(World::layer(layers[0]) == "n/\nn/t/\nn/t/text x text\n");
  CHECK(fs::status(layers[0] / "n/t/text x").permissions() == fs::perms(04755));
  CHECK(fs::status(layers[0] / "n/t").permissions() == fs::perms(0755));  // set-id bits are for what is copied
  CHECK(World::layer(layers[1]) == "u/\nu/inside i\n");
  CHECK(fs::exists(layers[2] / "a.tar"));
  CHECK(World::layer(layers[3]) == "t/\nt/text y text\n");
  CHECK_FALSE(world.build("FROM scratch\nADD " + address + "/none /x\n"));
  CHECK(world.problem.find("404") != std::string::npos);
}

TEST_CASE("STOPSIGNAL takes numbers as Docker does", "[build]") {
  NEED_BUILDS();
  World world;
  const auto built = world.build("FROM scratch\nCOPY marker /\nSTOPSIGNAL 65\n");
  REQUIRE(built);
  CHECK(world.image(built->image_id).config.stop_signal == "65");
  for (const char* wrong : {"0", "NOPE", "1x"}) CHECK_FALSE(world.build(std::string("FROM scratch\nCOPY marker /\nSTOPSIGNAL ") + wrong + "\n"));
}

TEST_CASE("a SOURCE_DATE_EPOCH makes one image of two builds, whatever was built before", "[build]") {
  NEED_BUILDS();
  World world;
  const std::string text = "FROM scratch\nCOPY marker /marker\nWORKDIR /w\nLABEL a=b\n";
  REQUIRE(world.build(text));  // its layers have other times
  BuildRequest request;
  request.args["SOURCE_DATE_EPOCH"] = "1500000000";
  const auto first = world.build(text, request);
  REQUIRE(first);
  request.no_cache = true;
  const auto second = world.build(text, request);
  REQUIRE(second);
  CHECK(first->image_id == second->image_id);
  const auto image = world.image(first->image_id);
  CHECK(image.config.created == "2017-07-14T02:40:00Z");
  for (const auto& entry : image.config.history) CHECK(entry.created == "2017-07-14T02:40:00Z");
  struct stat info {};
  REQUIRE(::stat((image.layer_dirs.back() / "w").c_str(), &info) == 0);
  CHECK(info.st_mtim.tv_sec == 1'500'000'000);
  request.args["SOURCE_DATE_EPOCH"] = "99999999999";
  const auto late = world.build(text, request);
  REQUIRE(late);
  CHECK(world.image(late->image_id).config.created == "5138-11-16T09:46:39Z");
  for (const char* wrong : {"x", "1500000000.5", "1e9", "999999999999"}) {
    request.args["SOURCE_DATE_EPOCH"] = wrong;
    CHECK_FALSE(world.build(text, request));
    CHECK(world.problem.find("invalid SOURCE_DATE_EPOCH: " + std::string(wrong)) != std::string::npos);
  }
}

TEST_CASE("an --exclude is taken as it is written", "[build]") {
  NEED_BUILDS();
  World world;
  world.write("d/a", "");
  world.write("d/s/b", "");
  const auto built = world.build("FROM scratch\nENV V=s\nCOPY --exclude=$V --exclude=/a --exclude=!/a d /x\nCOPY --exclude=s d /y\n");
  INFO(world.problem);
  REQUIRE(built);
  const auto layers = world.image(built->image_id).layer_dirs;
  CHECK(World::layer(layers[0]) == "x/\nx/a \nx/s/\nx/s/b \n");
  CHECK(World::layer(layers[1]) == "y/\ny/a \n");
}

TEST_CASE("a step gets the agent's socket, with the owner and mode it asks for, and the layer does not", "[build]") {
  NEED_BUILDS();
  World world;
  const auto agent = (world.temp.path() / "agent").string();
  const auto listener = base::sys::listen_unix(agent);
  REQUIRE(listener);
  BuildRequest request;
  request.ssh = {{.id = "default", .paths = {agent}}};
  const auto built = world.build(World::base() + "RUN --mount=type=ssh,mode=0660,uid=7,gid=8 test -S $SSH_AUTH_SOCK && stat -c '%a %u %g %n' $SSH_AUTH_SOCK > /o\n", request);
  INFO(world.problem);
  REQUIRE(built);
  CHECK(made(world, built->image_id, "o") == "660 7 8 /run/buildkit/ssh_agent.0\n");
  CHECK_FALSE(fs::exists(world.image(built->image_id).layer_dirs.back() / "run"));
  CHECK_FALSE(world.build(World::base() + "RUN --mount=type=ssh,id=other,required true\n", request));
  CHECK(world.problem.find("unset ssh forward key other") != std::string::npos);
  CHECK(world.build(World::base() + "RUN --mount=type=ssh,id=other test ! -e $SSH_AUTH_SOCK\n", request));
}
