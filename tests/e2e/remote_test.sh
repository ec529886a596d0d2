#!/usr/bin/env bash
# Compose files from a git repository and from a registry, as -f and in include: fetched by the worker, refused clearly when
# they cannot be had.
. "$(dirname "$0")/lib.sh"
command -v git >/dev/null || skip "needs git"
unset COMPOSE_PROJECT_NAME

git_quiet() { git -c user.name=t -c user.email=t@t -c init.defaultBranch=main "$@" >/dev/null 2>&1; }
mkdir -p "$work/git/app/sub"
printf 'name: fromgit\nservices: {web: {image: x, volumes: ["./data:/d"]}}\n' > "$work/git/app/compose.yaml"
printf 'services: {part: {image: "y:${TAG:-1}"}}\n' > "$work/git/app/sub/compose.yaml"
(cd "$work/git/app" && git_quiet init && git_quiet add -A && git_quiet commit -m one && git_quiet tag v1)
commit=$(git -C "$work/git/app" rev-parse HEAD)

# A registry with one Compose project and one image manifest; a git server beside it.
cat > "$work/registry.py" <<'P'
import hashlib, http.server, json, sys
blobs = {}
def add(data):
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    blobs[digest] = data
    return digest, len(data)
def layer(kind, data, **notes):
    digest, size = add(data)
    return {"mediaType": kind, "digest": digest, "size": size, "annotations": notes}
def manifest(kind, layers):
    digest, size = add(b"{}")
    return json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "artifactType": kind,
                       "config": {"mediaType": "application/vnd.oci.empty.v1+json", "digest": digest, "size": size}, "layers": layers}).encode()
project = manifest("application/vnd.docker.compose.project", [
    layer("application/vnd.docker.compose.file+yaml", b"name: fromoci\nservices: {a: {image: x, env_file: [e.env]}}\n", **{"com.docker.compose.file": "compose.yaml"}),
    layer("application/vnd.docker.compose.file+yaml", b"services: {a: {hostname: h}}\n", **{"com.docker.compose.file": "compose.yaml"}),
    layer("application/vnd.docker.compose.envfile", b"A=1\n", **{"com.docker.compose.envfile": "e.env"})])
escape = manifest("application/vnd.docker.compose.project", [
    layer("application/vnd.docker.compose.envfile", b"A=1\n", **{"com.docker.compose.envfile": "../escape"})])
tags = {"1": project, "escape": escape, "image": manifest("application/vnd.example", [])}
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        parts = self.path.split("/")
        data = tags.get(parts[-1]) or blobs.get(parts[-1]) if len(parts) > 3 else b"{}"
        self.send_response(200 if data is not None else 404)
        self.send_header("Content-Type", "application/vnd.oci.image.manifest.v1+json" if "manifests" in parts else "application/octet-stream")
        self.send_header("Content-Length", str(len(data or b"")))
        self.end_headers()
        if self.command == "GET": self.wfile.write(data or b"")
    do_HEAD = do_GET
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
P
python3 "$work/registry.py" > "$work/port" & registry=$!
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
git_port=$(free_port)
git daemon --listen=127.0.0.1 --port="$git_port" --base-path="$work/git" --export-all --reuseaddr "$work/git" >/dev/null 2>&1 & daemon=$!
trap 'status=$?; set +e; kill $registry $daemon 2>/dev/null; wait $registry $daemon 2>/dev/null; (exit $status); finish' EXIT
eventually 10 test -s "$work/port"
oci=oci://127.0.0.1:$(cat "$work/port")
url=git://127.0.0.1:$git_port/app
eventually 10 git ls-remote "$url"

it "loads a repository's Compose file, with paths in its checkout"
out=$(compose -f "$url" config)
contains "$out" "name: fromgit"
contains "$out" "source: $COMPOSE_STATE_DIR/compose-files/$commit/data"

it "takes a tag and a folder or file behind it"
contains "$(compose -f "$url#v1:sub" config)" "image: y:1"
contains "$(TAG=2 compose -f "$url#v1:sub/compose.yaml" config)" "image: y:2"
fails 1 compose -f "$url#v1:nowhere" config
contains "$err" "the repository has no nowhere"

it "includes a remote file"
printf 'include: ["%s#main:sub"]\nservices: {own: {image: z}}\n' "$url" > compose.yaml
equals "$(compose config --services | tr '\n' ' ')" "own part "

it "loads a Compose project of a registry, several files and env file together"
out=$(compose -f "$oci/app:1" config)
contains "$out" "name: fromoci"
contains "$out" "hostname: h"
contains "$out" 'A: "1"'

it "refuses artifacts that are something else or name files outside"
fails 1 compose -f "$oci/app:image" config
contains "$err" "is no Compose project"
fails 1 compose -f "$oci/app:escape" config
contains "$err" "outside its folder"
lacks "$(ls "$COMPOSE_STATE_DIR")" escape

it "says what could not be fetched, and where it was asked for"
fails 1 compose -f "git://127.0.0.1:$(free_port)/app" config
contains "$err" "cannot fetch git://127.0.0.1:"
printf 'include: ["oci://127.0.0.1:%s/app:1"]\n' "$(free_port)" > compose.yaml
fails 1 compose config
contains "$err" "compose.yaml:1:11: include[0]: cannot fetch oci://127.0.0.1:"

it "lets fetched files go that nobody used for a month"
mkdir -p "$COMPOSE_STATE_DIR/compose-files/unused" && touch -d '40 days ago' "$COMPOSE_STATE_DIR/compose-files/unused"
touch -d '40 days ago' "$COMPOSE_STATE_DIR/compose-files/$commit"
compose -f "$url" config -q
equals "$(ls -d "$COMPOSE_STATE_DIR/compose-files/unused" 2>/dev/null)" ""
contains "$(ls "$COMPOSE_STATE_DIR/compose-files")" "$commit"

it "pins images to the digests their registry has for them"
place=${oci#oci://}
digest=sha256:$(python3 -c 'import sys, urllib.request, hashlib; print(hashlib.sha256(urllib.request.urlopen(sys.argv[1]).read()).hexdigest())' "http://$place/v2/app/manifests/image")
printf 'services: {a: {image: "%s/app:${TAG:-image}"}, b: {build: .}, c: {image: "%s/app:1@%s"}}\n' "$place" "$place" "$digest" > compose.yaml
contains "$(compose config --resolve-image-digests)" "image: $place/app:image@$digest"
equals "$(compose config --lock-image-digests)" "services:
  a:
    image: $place/app:image@$digest
  b: {}
  c:
    image: $place/app@$digest"
printf 'services: {a: {image: "%s/app:none"}}\n' "$place" > compose.yaml
fails 1 compose config --resolve-image-digests
contains "$err" "failed to resolve digest for $place/app:none"
