#!/usr/bin/env bash
# Builds that stand on each other, caches kept elsewhere, checks, and what the store holds.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
mkdir -p low high
cat >low/Dockerfile <<'DOCKER'
FROM tiny
RUN cat /image-marker > /low
DOCKER
cat >high/Dockerfile <<'DOCKER'
FROM below
RUN cat /low > /high
COPY --from=layout /image-marker /from-layout
DOCKER
compose image save -o tiny.tar tiny
mkdir layout && tar xf tiny.tar -C layout
cat >compose.yaml <<YAML
services:
  high:
    build:
      context: high
      additional_contexts: {below: "service:low", layout: "oci-layout://$PWD/layout"}
  low:
    build:
      context: low
      cache_to: ["type=local,dest=$PWD/cache,mode=max"]
      cache_from: ["type=local,src=$PWD/cache"]
YAML

it "builds a service on top of another service's image and copies from an OCI layout"
passes compose build
contains "$out" "exporting cache to type=local"
passes compose run --rm -T high sh -c 'cat /high /from-layout'
equals "$out" "inside
inside"

it "takes steps from a cache another store exported"
export COMPOSE_STATE_DIR=$work/elsewhere
passes compose image load -i tiny.tar
passes compose build low
contains "$out" "CACHED"
lacks "$out" "RUN cat /image-marker > /low
#6 DONE"
export COMPOSE_STATE_DIR=$work/state

it "checks without building"
printf 'FROM tiny\nMAINTAINER me\nRUN false\n' >low/Dockerfile
fails 1 compose build --check low
contains "$out" "WARNING: MaintainerDeprecated"
contains "$err" "1 warning"
printf 'FROM tiny\n' >low/Dockerfile
passes compose build --check low
contains "$out" "no warnings found"

it "prints the bake file Docker Compose would"
cat >print.yaml <<YAML
services:
  web:
    image: demo/web:1
    build:
      context: low
      target: fin
      args: {A: "1", UNSET: }
      labels: {l: v}
      tags: [a:1]
      platforms: [linux/amd64, linux/arm64]
      secrets: [s1, {source: s1, target: other}]
      ssh: [k=/tmp/k]
      additional_contexts: {under: "service:base"}
      extra_hosts: ["h=1.2.3.4"]
      shm_size: 1g
  base: {build: {context: ., dockerfile_inline: "FROM scratch"}}
  other: {image: x}
secrets: {s1: {file: ./sec}}
YAML
passes compose -f print.yaml build --print --no-cache
equals "$(printf %s "$out" | tr -d ' \n')" "$(tr -d ' \n' <<JSON
{"group":{"default":{"targets":["base","web"]}},
 "target":{
  "base":{"context":"$PWD","dockerfile-inline":"FROM scratch",
   "labels":{"com.docker.compose.project":"$project","com.docker.compose.service":"base","com.docker.compose.version":"2.40.3"},
   "tags":["$project-base"],"no-cache":true,"output":["type=docker"]},
  "web":{"context":"$PWD/low","contexts":{"under":"target:base"},"dockerfile":"$PWD/low/Dockerfile","args":{"A":"1"},
   "labels":{"com.docker.compose.project":"$project","com.docker.compose.service":"web","com.docker.compose.version":"2.40.3","l":"v"},
   "tags":["a:1","demo/web:1"],"target":"fin","secret":["id=s1,type=file,src=$PWD/sec","id=other,type=file,src=$PWD/sec"],
   "ssh":["k=/tmp/k"],"platforms":["linux/amd64","linux/arm64"],"no-cache":true,"shm-size":"1073741824",
   "extra-hosts":{"h":"1.2.3.4"},"output":["type=image,push=false"]}}}
JSON
)"
contains "$out" '      "tags": [
        "a:1",'
mkdir -p "$DOCKER_CONFIG"
echo '{"proxies":{"default":{"httpProxy":"http://p:1","noProxy":"corp","allProxy":"all"}}}' >"$DOCKER_CONFIG/config.json"
passes compose -f print.yaml build --print base
equals "$(printf %s "$out" | tr -d ' \n' | grep -o '"args":{[^}]*}')" '"args":{"HTTP_PROXY":"http://p:1","NO_PROXY":"corp"}'

it "gives containers the proxies of Docker's client that their service does not mention"
printf 'services: {a: {image: tiny, environment: {HTTP_PROXY: mine, no_proxy: }}}\n' >proxies.yaml
passes compose -f proxies.yaml run --rm -T a sh -c 'env | grep -i _proxy | sort'
equals "$out" "ALL_PROXY=all
HTTP_PROXY=mine
NO_PROXY=corp
all_proxy=all
http_proxy=http://p:1"
rm "$DOCKER_CONFIG/config.json"

it "refuses what it cannot honour by name"
fails 1 compose build --sbom true low
contains "$err" "sbom"
fails 1 compose build --builder other low
contains "$err" "other"

it "refuses options that would go unheard"
fails 1 compose image inspect --raw tiny
contains "$err" "--raw goes with --remote only"
fails 1 compose image prune --until 1h
contains "$err" "--until goes with --build-cache only"
fails 1 compose image prune --build-cache --label a=b
contains "$err" "--label goes without --build-cache only"

it "prunes by label"
passes compose image import --change 'LABEL team=a' "$work/tiny" labelled:a
passes compose image import --change 'LABEL team=b' "$work/tiny" labelled:b
passes compose image prune --all --label team=a
lacks "$(compose image ls --json)" "labelled:a"
contains "$(compose image ls --json)" "labelled:b"
passes compose image prune --all --label team
lacks "$(compose image ls --json)" "labelled:b"
contains "$(compose image ls --json)" "tiny"

it "tells what the store holds and empties the build cache"
passes compose system df
contains "$out" "Build Cache"
passes compose image prune --build-cache --keep-storage 10GB
contains "$out" "Total reclaimed space: 0B"
passes compose image prune --build-cache
passes compose image history "$project-high"
contains "$out" "RUN /bin/sh -c cat /low > /high"

it "copies an image between folders without the store"
passes compose image copy "oci:$PWD/layout" "oci:$PWD/copied:t"
[ -e copied/index.json ] || fail "no layout was written"

it "keeps a password nowhere when the registry is not there"
fails 1 compose login -u u -p p 127.0.0.1:1
[ ! -e "$DOCKER_CONFIG/config.json" ] || fail "credentials were stored"
