#include <catch2/catch.hpp>
#include <csignal>

#include "engine/containers/containers.h"

using namespace engine;
using namespace engine::containers;
using Words = std::vector<std::string>;

namespace {

/// The command for these four, "" or null in `text` meaning absent: "error" when there is none.
Words command(std::optional<Words> entrypoint, std::optional<Words> words, std::optional<Words> image_entrypoint, std::optional<Words> image_command) {
  ContainerSpec spec;
  spec.entrypoint = entrypoint;
  spec.command = words;
  images::ImageConfig image;
  image.entrypoint = image_entrypoint;
  image.cmd = image_command;
  const auto line = command_line(spec, image);
  return line ? *line : Words{"error"};
}

}  // namespace

TEST_CASE("entrypoint and command of spec and image are combined as Docker does", "[containers]") {
  const Words e{"/entry"}, c{"arg"}, ie{"/image-entry"}, ic{"image-arg"};
  CHECK(command({}, {}, ie, ic) == Words{"/image-entry", "image-arg"});
  CHECK(command({}, c, ie, ic) == Words{"/image-entry", "arg"});
  CHECK(command(e, {}, ie, ic) == Words{"/entry"});
  CHECK(command(e, c, ie, ic) == Words{"/entry", "arg"});
  CHECK(command({}, {}, {}, ic) == Words{"image-arg"});
  CHECK(command(Words{}, {}, ie, ic) == Words{"error"});
  CHECK(command(Words{}, c, ie, ic) == Words{"arg"});
  CHECK(command({}, Words{}, ie, ic) == Words{"/image-entry"});
  CHECK(command({}, {}, {}, {}) == Words{"error"});
}

TEST_CASE("the environment starts from Docker's defaults and the spec wins over the image", "[containers]") {
  ContainerSpec spec;
  spec.env = {"A=spec", "GONE", "EMPTY=", "X=1=2"};
  images::ImageConfig image;
  image.env = {"PATH=/image", "A=image", "B=image", "GONE=image"};
  CHECK(environment(spec, image, "host") == Words{"PATH=/image", "HOSTNAME=host", "A=spec", "EMPTY=", "X=1=2", "B=image"});
  spec.tty = true;
  CHECK(environment(spec, {}, "h") == Words{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOSTNAME=h", "TERM=xterm",
                                            "A=spec", "EMPTY=", "X=1=2"});
}

TEST_CASE("signals are named in every way Docker takes", "[containers]") {
  CHECK(*parse_signal("SIGTERM") == SIGTERM);
  CHECK(*parse_signal("term") == SIGTERM);
  CHECK(*parse_signal("9") == 9);
  CHECK(*parse_signal("RTMIN+3") == 37);
  CHECK(*parse_signal("SIGRTMAX-2") == 62);
  for (const auto* bad : {"", "0", "65", "-1", "SIGFOO", "RTMIN+99", "RTMINx"}) CHECK_FALSE(parse_signal(bad));
  ContainerSpec spec;
  images::ImageConfig image;
  CHECK(*stop_signal(spec, image) == SIGTERM);
  image.stop_signal = "SIGQUIT";
  CHECK(*stop_signal(spec, image) == SIGQUIT);
  spec.stop_signal = "SIGUSR1";
  CHECK(*stop_signal(spec, image) == SIGUSR1);
}

TEST_CASE("a health check takes what the spec leaves out from the image", "[containers]") {
  using namespace std::chrono_literals;
  ContainerSpec spec;
  images::ImageConfig image;
  CHECK_FALSE(health_spec(spec, image));
  image.healthcheck = HealthSpec{.test = {"CMD-SHELL", "curl x"}, .interval = 7s, .retries = 5};
  CHECK(health_spec(spec, image)->command == Words{"/bin/sh", "-c", "curl x"});
  CHECK(health_spec(spec, image)->interval == 7s);
  spec.healthcheck = HealthSpec{.interval = 1s, .timeout = 0s};
  const auto merged = health_spec(spec, image);
  REQUIRE(merged);
  CHECK(merged->command == Words{"/bin/sh", "-c", "curl x"});
  CHECK(merged->interval == 1s);
  CHECK(merged->timeout == 30s);
  CHECK(merged->retries == 5);
  spec.healthcheck->test = {"CMD", "true", "x"};
  CHECK(health_spec(spec, image)->command == Words{"true", "x"});
  spec.healthcheck->test = {"NONE"};
  CHECK_FALSE(health_spec(spec, image));
}

TEST_CASE("image volumes, volumes_from and the spec's mounts make one list", "[containers]") {
  ContainerSpec spec;
  images::ImageConfig image;
  image.volumes = {"/data", "/var/lib/x/"};
  spec.mounts = {{.type = MountType::bind, .source = "/src", .target = "/data/"},
                 {.type = MountType::tmpfs, .target = "/a/b/c"},
                 {.type = MountType::volume, .source = "named", .target = "/n"}};
  spec.volumes_from = {"container other:ro"};
  ContainerInfo other;
  other.spec.mounts = {{.type = MountType::volume, .target = "/shared"}, {.type = MountType::tmpfs, .target = "/not"}};
  other.volumes = {{"/shared", "anon1"}, {"/image-volume", "anon2"}};
  const auto mounts = all_mounts(spec, image, {{"other", other}});
  REQUIRE(mounts);
  std::string text;
  for (const auto& mount : *mounts) text += mount.target + "=" + mount.source + (mount.read_only ? "(ro) " : " ");
  CHECK(text == "/data=/src /shared=anon1(ro) /image-volume=anon2(ro) /n=named /var/lib/x= /a/b/c= ");
  CHECK_FALSE(all_mounts(spec, image, {}));
  spec = {};
  spec.mounts = {{.target = "relative"}};
  CHECK_FALSE(all_mounts(spec, image));
  spec.mounts = {{.target = "/."}};
  CHECK_FALSE(all_mounts(spec, image));
}

TEST_CASE("cgroups of a project lie in one subtree", "[containers]") {
  ContainerSpec spec;
  spec.project = "demo";
  CHECK(cgroup_path(spec, "abc") == "/compose/demo/abc");
  spec.cgroup_parent = "my/parent/";
  CHECK(cgroup_path(spec, "abc") == "/my/parent/abc");
}

TEST_CASE("a specification that cannot work is refused before anything happens", "[containers]") {
  const auto refused = [](auto&& change) {
    ContainerSpec spec;
    change(spec);
    const auto result = validate(spec);
    return result ? std::string() : result.error().text();
  };
  CHECK(refused([](auto&) {}).empty());
  CHECK(refused([](auto& s) { s.cap_add = {"NET_ADMIN", "cap_chown", "ALL"}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.cap_add = {"NOPE"}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.security_opt = {"foo=bar"}; }).empty());
  CHECK(refused([](auto& s) { s.security_opt = {"seccomp:unconfined", "apparmor=unconfined", "label:disable", "no-new-privileges"}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.ulimits = {{"nofile", 10, 5}}; }).empty());
  CHECK(refused([](auto& s) { s.ulimits = {{"nofile", 10, -1}}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.ulimits = {{"nothing", 1, 1}}; }).empty());
  CHECK(refused([](auto& s) { s.sysctls = {{"net.core.somaxconn", "1"}, {"kernel.shmmax", "1"}}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.sysctls = {{"vm.swappiness", "1"}}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.sysctls = {{"net.core.somaxconn", "1"}}; s.network_mode = "host"; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.pid_mode = "nope"; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.uts_mode = "host"; s.hostname = "x"; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.stop_signal = "SIGNO"; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.log_driver = "syslog"; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.device_cgroup_rules = {"x"}; }).empty());
  CHECK(refused([](auto& s) { s.device_cgroup_rules = {"c *:3 rm", "a *:* rwm"}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.mounts = {{.type = MountType::tmpfs, .target = "/t", .tmpfs_options = "bogus"}}; }).empty());
  CHECK_FALSE(refused([](auto& s) { s.working_dir = "relative"; }).empty());
}
