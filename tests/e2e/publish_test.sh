#!/usr/bin/env bash
# publish: a project's Compose files as an artifact of a registry, read back with -f oci://; what is asked, refused and left as it was.
here=$(dirname "$(readlink -f "$0")")
source "$here/lib.sh"
for need in openssl python3 curl; do command -v $need >/dev/null || skip "needs $need"; done
unset COMPOSE_PROJECT_NAME
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout "$work/key" -out "$work/crt" -subj /CN=test -days 2 2>/dev/null
python3 "$here/registry.py" "$work/ready" "$work/key" "$work/crt" >"$work/requests" &
server=$!
trap 'status=$?; kill $server; (exit $status); finish' EXIT
eventually 10 test -s "$work/ready"
host=$(cat "$work/ready")
manifest() { curl -sk -H 'Accept: application/vnd.oci.image.manifest.v1+json' "https://$host/v2/$1/manifests/$2"; }
# field EXPRESSION: of the JSON on standard input, called m.
field() { python3 -c "import sys, json, base64; m = json.load(sys.stdin); print($1)"; }
mkdir sub image && echo content >image/file
compose image import image "$host/base:1" >/dev/null
compose image push "$host/base:1" >/dev/null 2>&1
cat >compose.yaml <<YAML
name: shop
services:
  web:  # kept as it is written
    image: $host/base:1
    env_file: [settings.env, {path: none.env, required: false}]
    volumes: ["/srv:/srv:ro"]
    extends: {file: sub/common.yaml, service: common}
  worker:
    image: "$host/base:\${TAG:-1}"
    profiles: [late]
YAML
echo 'services: {common: {hostname: from-common, labels: {tier: back}}}' >sub/common.yaml
echo 'services: {web: {labels: {stage: "${STAGE:-none}"}}}' >more.yaml
echo 'TOKEN=ghp_1234567890abcdefghijklmnopqrstuvwxyz' >settings.env
files=(-f compose.yaml -f more.yaml)

it "asks before it sends what may be private, and sends nothing without a yes"
passes compose "${files[@]}" publish "$host/shop:1" </dev/null
contains "$err" "you are about to publish bind mounts declaration"
contains "$err" "web: /srv:/srv:ro"
contains "$err" "nothing was published"
echo y >answers
passes compose "${files[@]}" publish "$host/shop:1" <answers
contains "$err" "you are about to publish sensitive data"
contains "$err" '"TOKEN": ghp_'
lacks "$err" "service \"web\" has env_file"
printf 'y\ny\n' >answers
fails 1 compose "${files[@]}" publish "$host/shop:1" <answers
contains "$err" 'service "web" has env_file declared.'
contains "$err" "--with-env"
passes compose --dry-run "${files[@]}" publish --with-env -y "$host/shop:1"
contains "$err" "$host/shop:1 published"
lacks "$(cat "$work/requests")" /shop/

it "publishes the files as they are written, to be loaded from there"
printf 'y\ny\ny\n' >answers
passes compose "${files[@]}" publish --with-env "$host/shop:1" <answers
contains "$err" "$host/shop:1 published"
equals "$(manifest shop 1 | field 'm["artifactType"], len(m["layers"]), m["config"]["data"]')" "application/vnd.docker.compose.project 4 e30="
contains "$(manifest shop 1 | field 'base64.b64decode(m["layers"][0]["data"]).decode()')" "web:  # kept as it is written"
mkdir elsewhere
passes compose "${files[@]}" --profile late config
plain=$out
(cd elsewhere && STAGE='' compose -f "oci://$host/shop:1" --profile late config) >"$work/there"
equals "$(cat "$work/there")" "$plain"

it "pins images and copies them along"
passes compose -f compose.yaml publish -y --app "$host/app:1"
contains "$err" "env files are not published without --with-env"
contains "$(manifest app 1 | field 'base64.b64decode(m["layers"][-1]["data"]).decode()')" "image: $host/base:1@sha256:"
index=$(grep -o '^PUT /v2/app/manifests/sha256:.*' "$work/requests" | tail -n 1)
equals "$(manifest app "${index##*/}" | field 'len(m["manifests"]), m["subject"]["artifactType"]')" "2 application/vnd.docker.compose.project"

it "speaks OCI 1.0 when told to, and no other version"
passes compose -f compose.yaml publish -y --with-env --oci-version 1.0 "$host/old:1"
equals "$(manifest old 1 | field 'm.get("artifactType"), m["config"]["mediaType"]')" "None application/vnd.docker.compose.config.empty.v1+json"
passes compose -f "oci://$host/old:1" config -q
fails 1 compose -f compose.yaml publish -y --oci-version 2 "$host/old:1"
contains "$err" "unsupported OCI version: 2"

it "refuses what an artifact cannot hold"
echo 'services: {part: {image: x}}' >part.yaml
echo 'include: [part.yaml]' >include.yaml
fails 1 compose -f include.yaml publish -y "$host/x:1"
contains "$err" "cannot publish compose file with local includes"
echo 'services: {a: {build: .}}' >build.yaml
fails 1 compose -f build.yaml publish -y "$host/x:1"
contains "$err" 'only contains a build section for service(s):
- "a"'
printf 'services:\n  a:\n    image: x\n    env_file: |-\n      settings.env\n' >lines.yaml
fails 1 compose -f lines.yaml publish -y "$host/x:1"
contains "$err" "lines.yaml:4:15"
fails 1 compose -f compose.yaml publish
contains "$err" "requires exactly 1 argument"
fails 1 compose -f compose.yaml publish -y --with-env 127.0.0.1:1/x:1
contains "$err" "127.0.0.1:1"
