#include <catch2/catch.hpp>

#include "compose/load/load.h"
#include "compose/reconcile/desired.h"
#include "compose/reconcile/labels.h"
#include "compose/reconcile/reconcile.h"
#include "compose/reconcile/run.h"

using namespace compose;
using namespace compose::reconcile;

namespace {

struct Translated {
  Desired desired;
  std::string refusals;    ///< "path: message" a line
};

model::Project load_text(const std::string& yaml, model::StringMap environment = {}) {
  const auto files = load::memory_files({{"/p/compose.yaml", yaml}, {"/p/secret.txt", "s3cret"}});
  auto result = load::load({.files = {"/p/compose.yaml"}, .working_dir = "/p", .project_name = "demo", .environment = std::move(environment)}, *files);
  INFO(load::print(result.diagnostics, result.sources));
  REQUIRE(result.project);
  return *std::move(result.project);
}

Translated translate(const std::string& yaml, const DesiredOptions& options = {.config_files = {"/p/compose.yaml"}}) {
  Translated result;
  std::vector<load::Diagnostic> refusals;
  result.desired = desired(load_text(yaml), options, {{"img", "sha256:1"}}, refusals);
  for (const auto& refusal : refusals) {
    result.refusals += std::to_string(refusal.at.line) + ":" + std::to_string(refusal.at.column) + " " + refusal.path + ": " + refusal.message + "\n";
  }
  return result;
}

engine::ContainerSpec spec_of(const std::string& service_yaml) {
  auto result = translate("services:\n  web:\n    image: img\n" + service_yaml);
  CHECK(result.refusals.empty());
  REQUIRE(result.desired.services.size() == 1);
  return result.desired.services[0].spec;
}

}  // namespace

TEST_CASE("names and labels are Docker Compose's", "[desired]") {
  const auto result = translate(R"(
services:
  db: {image: img, healthcheck: {test: [CMD, "true"]}}
  web: {image: img, depends_on: {db: {condition: service_healthy}}, volumes: ["data:/data"]}
volumes: {data: {}}
)");
  const auto& web = result.desired.services.at(1);
  CHECK(container_name(result.desired, web, 2) == "demo-web-2");
  CHECK(result.desired.networks.at(0).spec.name == "demo_default");
  CHECK(result.desired.volumes.at(0).spec.name == "demo_data");
  const auto label = [&](std::string_view name) { return web.spec.labels.at(std::string(name)); };
  CHECK(label(label::project) == "demo");
  CHECK(label(label::service) == "web");
  CHECK(label(label::one_off) == "False");
  CHECK(label(label::depends_on) == "db:service_healthy:false");
  CHECK(label(label::image) == "sha256:1");
  CHECK(label(label::config_files) == "/p/compose.yaml");
  CHECK(label(label::working_dir) == "/p");
  CHECK(label(label::config_hash).size() == 64);
  CHECK(web.depends_on == std::vector<Dependency>{{"db", Condition::healthy, false, true}});
}

TEST_CASE("a built service runs PROJECT-SERVICE, joined by _ in compatibility mode", "[desired]") {
  const std::string yaml = "services: {web: {build: .}}";
  CHECK(translate(yaml).desired.services[0].spec.image == "demo-web");
  CHECK(translate(yaml).desired.services[0].generated_image);
  const auto old = translate(yaml, {.compatibility = true});
  CHECK(old.desired.services[0].spec.image == "demo_web");
  CHECK(container_name(old.desired, old.desired.services[0], 1) == "demo_web_1");
}

TEST_CASE("process attributes are carried over", "[desired]") {
  const auto spec = spec_of(R"(
    command: ["a", "b c"]
    entrypoint: []
    environment: {A: "1", UNSET: }
    user: "1000:1000"
    working_dir: /srv
    hostname: h
    domainname: d
    tty: true
    stdin_open: true
    init: true
    privileged: true
    read_only: true
    cap_add: [NET_ADMIN]
    security_opt: ["no-new-privileges:true"]
    stop_signal: SIGUSR1
    stop_grace_period: 3s
    ulimits: {nofile: {soft: 10, hard: 20}, nproc: 5}
    sysctls: {net.core.somaxconn: 1024}
    shm_size: 64m
    extra_hosts: ["a=1.2.3.4"]
)");
  CHECK(spec.command == std::vector<std::string>{"a", "b c"});
  CHECK(spec.entrypoint == std::vector<std::string>{});
  CHECK(spec.env == std::vector<std::string>{"A=1", "UNSET"});
  CHECK(spec.user == "1000:1000");
  CHECK(spec.stop_grace == engine::Nanoseconds(std::chrono::seconds(3)));
  CHECK(spec.ulimits == std::vector<engine::Ulimit>{{"nofile", 10, 20}, {"nproc", 5, 5}});
  CHECK(spec.shm_size_bytes == 64 << 20);
  CHECK(spec.extra_hosts == std::vector<std::string>{"a=1.2.3.4"});
  CHECK((spec.tty && spec.stdin_open && spec.init && spec.privileged && spec.read_only));
}

TEST_CASE("proxies are for every container, but what the service says of one wins, even that it is unset", "[desired]") {
  const auto web = translate("services: {web: {image: i, environment: {HTTP_PROXY: mine, no_proxy: }}}",
                             {.proxies = {{"HTTP_PROXY", "p"}, {"http_proxy", "p"}, {"no_proxy", "x"}}});
  CHECK(web.desired.services[0].spec.env == std::vector<std::string>{"HTTP_PROXY=mine", "no_proxy", "http_proxy=p"});
}

TEST_CASE("ports, networks and aliases", "[desired]") {
  const auto result = translate(R"(
services:
  web:
    image: img
    ports: ["8080:80", "127.0.0.1:9000-9001:90-91/udp", "70"]
    networks: {back: {aliases: [w], ipv4_address: 10.1.0.9}, front: {priority: 10}}
    links: ["db:database"]
    mac_address: "02:42:ac:11:00:01"
  db: {image: img, networks: [back]}
networks: {front: {}, back: {ipam: {config: [{subnet: 10.1.0.0/24}]}}}
)");
  const auto& spec = result.desired.services.at(1).spec;
  REQUIRE(spec.ports.size() == 4);
  CHECK(spec.ports[0].host_port == 8080);
  CHECK(spec.ports[1].host_ip == "127.0.0.1");
  CHECK(spec.ports[2].container_port == 91);
  CHECK(spec.ports[3].host_port == 0);
  REQUIRE(spec.networks.size() == 2);
  CHECK(spec.networks[0].network == "demo_front");
  CHECK(spec.networks[0].mac_address == "02:42:ac:11:00:01");
  CHECK(spec.networks[1].aliases == std::vector<std::string>{"web", "w"});
  CHECK(spec.networks[1].ipv4_address == "10.1.0.9");
  const auto& db = result.desired.services.at(0).spec;
  CHECK(db.networks[0].aliases == std::vector<std::string>{"db", "database"});
  CHECK(result.desired.networks.at(0).spec.subnets.at(0).subnet == "10.1.0.0/24");
}

TEST_CASE("mounts, configs and secrets", "[desired]") {
  const auto result = translate(R"(
services:
  web:
    image: img
    volumes: ["data:/data:ro", "./src:/src", "/anonymous", {type: tmpfs, target: /t, tmpfs: {size: 1m, mode: 0700}}]
    tmpfs: ["/run:size=64m"]
    configs: [{source: settings, target: /etc/settings, mode: 0440, uid: "5"}]
    secrets: [token]
volumes: {data: {}}
configs: {settings: {content: "x=1"}}
secrets: {token: {file: secret.txt}}
)");
  CHECK(result.refusals.empty());
  const auto& spec = result.desired.services.at(0).spec;
  REQUIRE(spec.mounts.size() == 5);
  CHECK((spec.mounts[0].source == "demo_data" && spec.mounts[0].read_only));
  CHECK((spec.mounts[1].type == engine::MountType::bind && spec.mounts[1].source == "/p/src"));
  CHECK((spec.mounts[2].source.empty() && spec.mounts[2].target == "/anonymous"));
  CHECK((spec.mounts[3].tmpfs_size_bytes == 1 << 20 && spec.mounts[3].tmpfs_mode == 0700));
  CHECK((spec.mounts[4].target == "/run" && spec.mounts[4].tmpfs_options == "size=64m"));
  REQUIRE(spec.files.size() == 2);
  CHECK((spec.files[0].target == "/etc/settings" && spec.files[0].content == "x=1" && spec.files[0].uid == 5u && spec.files[0].mode == 0440u));
  CHECK((spec.files[1].target == "/run/secrets/token" && spec.files[1].host_path == "/p/secret.txt"));
}

TEST_CASE("deploy limits are resources, a CPU reservation is a weight", "[desired]") {
  const auto spec = spec_of(R"(
    pids_limit: 10
    deploy: {resources: {limits: {cpus: "1.5", memory: 512m, pids: 10}, reservations: {cpus: "0.5", memory: 128m}}, restart_policy: {condition: on-failure, max_attempts: 3, delay: 2s}}
)");
  CHECK(spec.resources.memory_bytes == 512 << 20);
  CHECK(spec.resources.nano_cpus == 1'500'000'000);
  CHECK(spec.resources.pids_limit == 10);
  CHECK(spec.resources.memory_reservation_bytes == 128 << 20);
  CHECK(spec.resources.cpu_shares == 512);
  CHECK(spec.restart.mode == engine::RestartPolicy::Mode::on_failure);
  CHECK(spec.restart.max_retries == 3);
  CHECK(spec.restart.delay == engine::Nanoseconds(std::chrono::seconds(2)));
}

TEST_CASE("health checks and restart policies", "[desired]") {
  const auto spec = spec_of("    restart: on-failure:5\n    healthcheck: {test: curl -f localhost, interval: 5s, retries: 2, start_period: 1m}\n");
  REQUIRE(spec.healthcheck);
  CHECK(spec.healthcheck->test == std::vector<std::string>{"CMD-SHELL", "curl -f localhost"});
  CHECK(spec.healthcheck->retries == 2);
  CHECK(spec.restart.max_retries == 5);
  CHECK(spec_of("    healthcheck: {disable: true}\n").healthcheck->test == std::vector<std::string>{"NONE"});
}

TEST_CASE("namespaces and volumes of other services become their first container", "[desired]") {
  const auto result = translate(R"(
services:
  app: {image: img, network_mode: "service:vpn", pid: "service:vpn", volumes_from: ["vpn:ro", "container:other"]}
  vpn: {image: img}
)");
  CHECK(result.desired.services[0].spec.network_mode == "service:vpn");
  const auto decision = reconcile::reconcile(result.desired, observed({}, "demo"), {});
  REQUIRE(decision);
  for (const auto& step : decision->plan.steps) {
    const auto* create = std::get_if<engine::action::CreateContainer>(&step.action);
    if (create == nullptr || create->spec.name != "demo-app-1") continue;
    CHECK(create->spec.network_mode == "container:demo-vpn-1");
    CHECK(create->spec.pid_mode == "container:demo-vpn-1");
    CHECK(create->spec.volumes_from == std::vector<std::string>{"demo-vpn-1:ro", "other"});
    CHECK(step.after.size() == 1);
  }
}

TEST_CASE("what cannot be honoured is refused at its place", "[desired]") {
  const auto result = translate(R"(services:
  web:
    image: img
    isolation: hyperv
    gpus: all
    logging: {driver: gelf, options: {gelf-address: "udp://1.2.3.4:5"}}
    ports: ["5000:5000/sctp"]
    deploy:
      update_config: {order: start-first}
      placement: {constraints: ["node.labels.x == y", "node.role == manager"]}
    networks: [n]
networks:
  n: {driver: overlay}
)");
  CHECK(result.refusals == R"(4:16 services.web.isolation: exists on Windows only
5:11 services.web.gpus: GPU requests are not supported yet
9:22 services.web.deploy.update_config: rolling updates are not supported yet: only 'order: stop-first', all replicas at once
10:33 services.web.deploy.placement.constraints[0]: constraint 'node.labels.x == y' cannot be checked: this machine is no Swarm node
7:13 services.web.ports[0]: protocol 'sctp' cannot be published
6:23 services.web.logging.driver: log driver 'gelf' is not supported
6:53 services.web.logging.options.gelf-address: log option 'gelf-address' is not supported
13:15 networks.n.driver: network driver 'overlay' is not supported
)");
}

TEST_CASE("what config prints but no container can be made of is refused", "[desired]") {
  const auto result = translate(R"(services:
  web:
    image: img
    environment: ["=1"]
    mem_limit: 8192p
    volumes: [{type: volume, source: v, target: ""}]
volumes: {v: {}}
)");
  CHECK(result.refusals == R"(4:18 services.web.environment: a variable has no name, only the value '1'
5:16 services.web.mem_limit: is more than 8 EiB, or negative
6:49 services.web.volumes[0].target: '.' is no absolute path: there is nowhere to mount it
)");
}

TEST_CASE("only networks and volumes in use are made, unless all are wanted", "[desired]") {
  const std::string yaml = "services: {web: {image: img}}\nnetworks: {spare: {}}\nvolumes: {spare: {}}";
  CHECK(translate(yaml).desired.networks.size() == 1);
  CHECK(translate(yaml).desired.volumes.empty());
  CHECK(translate(yaml, {.all_resources = true}).desired.volumes.size() == 1);
}

TEST_CASE("the config hash follows what matters to a container", "[desired]") {
  const auto hash = [](const std::string& yaml) { return translate("services:\n  web:\n    image: img\n" + yaml).desired.services[0].config_hash; };
  CHECK(hash("") == hash("    scale: 3\n"));
  CHECK(hash("") != hash("    environment: {A: b}\n"));
  const auto network = [](const std::string& text) { return translate("services: {web: {image: img}}\nnetworks: {default: " + text + "}").desired.networks[0].config_hash; };
  CHECK(network("{}") != network("{internal: true}"));
  CHECK(network("{driver_opts: {a: bc}}") != network("{driver_opts: {ab: c}}"));
}

TEST_CASE("a one-off has its own name, no ports, no aliases and no restart", "[run]") {
  const auto result = translate("services: {web: {image: img, command: serve, ports: ['80:80'], restart: always, environment: {A: '1'}}}");
  const auto once = one_off(result.desired, result.desired.services[0],
                            {.slug = "0123456789ab", .command = {"sh"}, .environment = {"A=2", "B=3"}, .remove = true, .tty = true});
  CHECK(once.fixed_name == "demo-web-run-0123456789ab");
  CHECK(once.spec.command == std::vector<std::string>{"sh"});
  CHECK(once.spec.env == std::vector<std::string>{"A=2", "B=3"});
  CHECK(once.spec.ports.empty());
  CHECK(once.spec.networks[0].aliases.empty());
  CHECK(once.spec.restart == engine::RestartPolicy{});
  CHECK(once.spec.auto_remove);
  CHECK(once.spec.labels.at(std::string(label::one_off)) == "True");
  CHECK(once.spec.labels.at(std::string(label::slug)) == "0123456789ab");
}

TEST_CASE("an entrypoint is split like a shell splits words", "[run]") {
  CHECK(split_words("sh -c 'a b' \"c \\\" d\" e\\ f ''") == std::vector<std::string>{"sh", "-c", "a b", "c \" d", "e f", ""});
  CHECK(split_words("  ").empty());
}
