#!/usr/bin/env bash
# Whatever is wrong gives one clear message at its place, a non-zero exit, and nothing half-made.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
nothing_made() { equals "$(compose -p "$project" ps -aq | wc -l)" 0; }
# refused MESSAGE: `config` and `up` of compose.yaml fail naming it.
refused() {
  fails 1 compose up -d
  contains "$err" "$1"
  nothing_made
}
write() { cat >compose.yaml; }

it "names a missing file"
fails 1 compose up -d
contains "$err" "no configuration file provided: not found"
fails 1 compose -f nosuch.yaml up -d
contains "$err" "nosuch.yaml: no such file or directory"

it "points at a YAML syntax error"
printf 'services:\n  web:\n   image: "tiny\n' | write
refused "compose.yaml:"

it "suggests the key that was meant"
printf 'services:\n  web:\n    image: tiny\n    enviroment: {A: b}\n' | write
refused "compose.yaml:4:5"
contains "$err" "did you mean"

it "refuses a wrong type and an impossible port"
printf 'services:\n  web:\n    image: [tiny]\n' | write
refused "compose.yaml:3:"
printf 'services:\n  web:\n    image: tiny\n    ports: ["70000:80"]\n' | write
refused "70000"

it "prints a dependency cycle"
printf 'services:\n  a: {image: tiny, depends_on: [b]}\n  b: {image: tiny, depends_on: [a]}\n' | write
refused "cycle"

it "names undefined networks, volumes, secrets and services"
printf 'services:\n  a: {image: tiny, networks: [nope]}\n' | write; refused "nope"
printf 'services:\n  a: {image: tiny, volumes: ["nope:/x"]}\n' | write; refused "nope"
printf 'services:\n  a: {image: tiny, secrets: [nope]}\n' | write; refused "nope"
printf 'services:\n  a: {image: tiny, depends_on: [nope]}\n' | write; refused "nope"

it "refuses bad interpolation and a missing required variable"
printf 'services:\n  a: {image: "tiny${"}\n' | write; refused "compose.yaml:2:"
printf 'services:\n  a: {image: "${IMAGE:?set it}"}\n' | write; refused "set it"

it "says which image is missing, and that a registry is down"
printf 'services:\n  a: {image: "127.0.0.1:9/no/such:1"}\n' | write
refused "127.0.0.1:9"
printf 'services:\n  a: {image: nosuchimage, pull_policy: never}\n' | write
refused "nosuchimage"

it "names the holder of a port in use"
nc -l -p 18099 -s 127.0.0.1 2>/dev/null >/dev/null & holder=$!
busybox nc -l -p 18098 >/dev/null 2>&1 & holder2=$!
eventually 5 sh -c 'grep -qi ":46B2 " /proc/net/tcp /proc/net/tcp6'
printf 'services:\n  a: {image: tiny, command: [sleep, "100"], ports: ["18098:80"]}\n' | write
fails 1 compose up -d
contains "$err" "18098"
contains "$err" "$holder2"
kill $holder $holder2 2>/dev/null || true; wait 2>/dev/null || true
passes compose down

it "reports a command that is not in the image with 127"
printf 'services:\n  a: {image: tiny, command: [nosuchprogram]}\n' | write
fails 1 compose up -d
contains "$err" "nosuchprogram"
passes compose down
fails 127 compose run --rm -T a nosuchprogram
contains "$err" "nosuchprogram"
passes compose down

it "points at the line of a Dockerfile error"
mkdir -p ctx
printf 'FROM tiny\nRUNN echo\n' >ctx/Dockerfile
printf 'services:\n  a: {build: ctx}\n' | write
fails 1 compose build
contains "$err" "Dockerfile:2"
printf 'FROM tiny\nRUN cat /image-marker && exit 9\n' >ctx/Dockerfile
fails 1 compose up -d
contains "$out$err" "exit code: 9"
nothing_made

it "refuses when addresses run out"
printf 'services:\n  a: {image: tiny, command: [sleep, "100"], networks: [small], deploy: {replicas: 3}}\nnetworks: {small: {ipam: {config: [{subnet: 10.213.7.0/30}]}}}\n' | write
fails 1 compose up -d
contains "$err" "10.213.7.0/30"
passes compose down
