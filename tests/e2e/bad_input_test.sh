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
# one_message TEXT: what was wrong is said once, on one line of stderr that is no progress (those start with a blank).
one_message() {
  equals "$(grep -vc '^ ' <<<"$err")" 1
  contains "$(grep -v '^ ' <<<"$err")" "$1"
}

it "names a missing file"
fails 1 compose up -d
contains "$err" "no configuration file provided: not found"
fails 1 compose -f nosuch.yaml up -d
contains "$err" "nosuch.yaml: no such file or directory"

it "says of a flag without effect that it has none"
printf 'services: {web: {image: tiny}}\n' >quiet.yaml
passes compose --verbose -f quiet.yaml config -q
contains "$err" "--verbose changes nothing"
passes compose -f quiet.yaml config -q
equals "$err" ""

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
one_message "Couldn't connect"
printf 'services:\n  a: {image: nosuchimage, pull_policy: never}\n' | write
refused "nosuchimage"
one_message "nosuchimage"

it "says that a registry does not have the image"
python3 - "$work/registry-port" <<'PYTHON' &
import http.server, os, sys
class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.path == "/v2/"
        body = b"{}" if known else b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}'
        self.send_response(200 if known else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET": self.wfile.write(body)
    do_HEAD = do_GET
    def log_message(self, *words): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Registry)
with open(sys.argv[1] + ".part", "w") as file: file.write(str(server.server_port))
os.rename(sys.argv[1] + ".part", sys.argv[1])
server.serve_forever()
PYTHON
registry=$!
eventually 10 test -s "$work/registry-port"
address=127.0.0.1:$(cat "$work/registry-port")
printf 'services:\n  a: {image: "%s/no/such:1"}\n' "$address" | write
refused "manifest for $address/no/such:1 not found"
one_message "not found"
kill $registry; wait $registry 2>/dev/null || true

it "names the holder of a port in use"
nc -l -p 18099 -s 127.0.0.1 2>/dev/null >/dev/null & holder=$!
busybox nc -l -p 18098 >/dev/null 2>&1 & holder2=$!
eventually 5 sh -c 'grep -qi ":46B2 " /proc/net/tcp /proc/net/tcp6'
printf 'services:\n  a: {image: tiny, command: [sleep, "100"], ports: ["18098:80"]}\n' | write
fails 1 compose up -d
contains "$err" "18098"
contains "$err" "$holder2"
one_message "port 18098/tcp is already in use by busybox nc"
kill $holder $holder2 2>/dev/null || true; wait 2>/dev/null || true
passes compose down

it "names the project that has the port"
projects=("${project}other")
printf 'services:\n  a: {image: tiny, command: [sleep, "100"], ports: ["18098:80"]}\n' | write
passes compose -p "${project}other" up -d
fails 1 compose up -d
one_message "--project ${project}other"
passes compose -p "${project}other" down -t 0
passes compose down

it "reports a command that is not in the image with 127"
printf 'services:\n  a: {image: tiny, command: [nosuchprogram]}\n' | write
fails 1 compose up -d
one_message 'exec: "nosuchprogram": executable file not found in $PATH'
passes compose down
fails 127 compose run --rm -T a nosuchprogram
one_message 'exec: "nosuchprogram": executable file not found in $PATH'
nothing_made
passes compose down
printf 'services:\n  a: {image: tiny, command: [sleep, "100"]}\n' | write
passes compose up -d
fails 127 compose exec -T a nosuchprogram
one_message 'exec: "nosuchprogram": executable file not found in $PATH'
passes compose down -t 0

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
one_message "10.213.7.0/30"
passes compose down

it "says what a user may not do"
printf 'services:\n  a: {image: tiny, command: [sleep, "100"]}\n' | write
chmod 755 "$work" "$work/project"; chmod 644 compose.yaml
as_nobody() { HOME=/ setpriv --reuid=65534 --regid=65534 --clear-groups "$bin/compose" "$@"; }
for verb in "up -d" ps logs down; do
  fails 1 as_nobody $verb
  one_message "permission denied"
done
nothing_made
chmod 600 compose.yaml
fails 1 as_nobody config
one_message "compose.yaml: permission denied"

it "finishes an \`up\` whose command was killed half-way"
slow() { printf 'services:\n'; for i in 1 2 3 4 5 6 7 8; do printf '  s%s: {image: tiny, command: [sleep, "1000"]%s}\n' $i "$([ $i = 1 ] || echo ", depends_on: [s$((i-1))]")"; done; }
slow | write
# cut_short STEP [PIDS]: `up` is at STEP when the command, and what PIDS prints, are killed; the next one finishes it.
cut_short() {
  setsid "$bin/compose" up -d >"$work/half" 2>&1 & client=$!
  eventually 10 grep -q "s$1-1  Creat" "$work/half"
  kill -9 $client $(${2:-true}); wait $client 2>/dev/null || true
  passes compose up -d
  equals "$(compose ps -q | wc -l)" 8
  equals "$(compose ps -aq | wc -l)" 8
  passes compose down -t 0
  nothing_made
}
for after in 1 3 5; do cut_short $after; done

it "finishes an \`up\` whose command and engine were killed half-way"
engine() { pgrep -f "compose-engine [a-z]* --project $project"; }
for after in 1 4; do cut_short $after engine; done

it "stops a build whose command was killed, and leaves no half layer"
printf 'FROM tiny\nRUN cat /image-marker && exec sleep 98%s\n' $$ >ctx/Dockerfile
printf 'services:\n  a: {build: ctx}\n' | write
layers() { find "$work/state/layers" -maxdepth 1 | wc -l; }
before=$(layers)
setsid "$bin/compose" build >"$work/half" 2>&1 & client=$!
eventually 10 pgrep -f "^sleep 98$$"
kill -9 $client; wait $client 2>/dev/null || true
no_process() { ! pgrep -f "$1"; }
no_build_file() { [ -z "$(find "$work/run" -path "*build*" -type f ! -path "*/.cache/*")" ]; }
eventually 10 no_process "^sleep 98$$"
eventually 10 no_process "^compose-(runtime|image).*$work"
eventually 5 no_build_file
equals "$(layers)" "$before"
printf 'FROM tiny\nRUN cat /image-marker\n' >ctx/Dockerfile
passes compose build
