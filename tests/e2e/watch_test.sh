#!/usr/bin/env bash
# Files that change on this machine reach the containers, restart them, or have their image built anew.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
mkdir -p src/deep conf hook later-parent ctx
echo one >src/a
printf 'FROM tiny\nRUN cat /image-marker >/built\n' >ctx/Dockerfile
printf 'skipped\n' >ctx/.dockerignore
cat >compose.yaml <<'YAML'
services:
  web:
    build: ctx
    command: [sh, -c, "echo begun; trap 'exit 3' TERM; trap 'exit 5' HUP; sleep 1000 & wait"]
    develop:
      watch:
        - {path: ./src, action: sync, target: /src, initial_sync: true, ignore: ["*.tmp", "vendor/"]}
        - {path: ./conf, action: sync+restart, target: /conf, include: ["*.conf"]}
        - {path: ./hook, action: sync+exec, target: /hook, exec: {command: [sh, -c, "cat /image-marker >/hooked; echo from the hook"]}}
        - {path: ./later-parent/later, action: sync, target: /later}
        - {path: ./ctx, action: rebuild}
  other: {image: tiny, command: [sleep, "1000"]}
YAML
"$bin/compose" watch --quiet >"$work/out" 2>"$work/errors" & watch=$!
stop_watch() { kill -TERM $watch 2>/dev/null; wait $watch; }
trap 'status=$?; set +e; stop_watch >/dev/null 2>&1; (exit $status); finish' EXIT
inside() { compose exec -T web "$@"; }
has() { [ "$(inside cat "$1" 2>/dev/null)" = "$2" ]; }
gone() { [ "$(inside sh -c "cat /image-marker; [ -e '$1' ] || echo gone" | tr '\n' ' ')" = "inside gone " ]; }
said() { grep -qF "$1" "$work/out"; }

it "brings the stack up and copies what is there when asked to"
eventually 30 said "Watch enabled"
equals "$(inside cat /image-marker)" inside
eventually 10 has /src/a one
equals "$(compose ps -q | wc -l)" 2

it "copies what changes, what is new, and files of new folders"
echo two >src/a; mkdir -p src/new/er; echo deep >src/new/er/b
eventually 10 has /src/a two
eventually 10 has /src/new/er/b deep
eventually 5 said 'Syncing service "web" after '
equals "$(inside stat -c %u:%g /src/new/er/b)" 0:0

it "removes what is gone, follows a rename, and leaves out what is ignored"
echo x >src/b.tmp; mkdir src/vendor; echo x >src/vendor/c; echo x >src/.a.swp
mv src/a src/moved; rm -r src/new
eventually 10 has /src/moved two
eventually 10 gone /src/a
eventually 10 gone /src/new
gone /src/b.tmp || fail "an ignored file was copied"
gone /src/vendor || fail "an ignored folder was copied"

it "waits for what does not exist yet"
mkdir later-parent/later; echo now >later-parent/later/f
eventually 10 has /later/f now

it "restarts for files that match, and runs the command it is told"
echo no >conf/x.txt; echo yes >conf/y.conf
eventually 10 said 'service(s) ["web"] restarted'
eventually 10 has /conf/y.conf yes
eventually 10 gone /conf/x.txt
echo z >hook/z
eventually 10 has /hooked inside
eventually 5 said "from the hook"

it "never follows a link of the container out of it"
inside mkdir -p "$work"; inside ln -s "$work" /src/out
mkdir -p src/out; echo planted >src/out/planted
eventually 10 inside cat "$work/planted"
[ ! -e "$work/planted" ] || fail "a file was written outside"

it "builds anew when the context changes, and puts the container in place of the old one"
before=$(compose ps -q web); other=$(compose ps -q other)
echo x >ctx/skipped
printf 'FROM tiny\nRUN cat /image-marker >/built-again\n' >ctx/Dockerfile
eventually 30 said 'service(s) ["web"] successfully built'
eventually 10 has /built-again inside
[ "$(compose ps -q web)" != "$before" ] || fail "the container is the old one"
equals "$(compose ps -q other)" "$other"
equals "$(compose image ls --json | grep -o '"<none>' | wc -l)" 0

it "ends when told to and leaves the stack alone"
code=0; kill -TERM $watch; wait $watch || code=$?
equals "$code" 130
equals "$(compose ps -q | wc -l)" 2

it "leaves what runs as it is with --no-up, and forgets no dangling image with --prune=false"
"$bin/compose" watch --no-up --prune=false --quiet >"$work/out" 2>"$work/errors" & watch=$!
eventually 10 said "Watch enabled"
equals "$(cat "$work/errors")" ""
printf 'FROM tiny\nRUN cat /image-marker >/third\n' >ctx/Dockerfile
eventually 30 said 'service(s) ["web"] successfully built'
eventually 10 has /third inside
equals "$(compose image prune | grep -c '^Deleted')" 1
stop_watch || true

it "watches beside an attached up, which outlives what a rebuild replaces"
"$bin/compose" up --watch web >"$work/out" 2>"$work/errors" </dev/null & watch=$!
eventually 30 said "        ⦿ Watch enabled"
echo beside >src/beside
eventually 10 has /src/beside beside
printf 'FROM tiny\nRUN cat /image-marker >/fourth\n' >ctx/Dockerfile
eventually 30 said '        ⦿ service(s) ["web"] successfully built'
eventually 10 has /fourth inside
begun() { [ "$(grep -c "^web-1  *| begun" "$work/out")" = 1 ]; }
eventually 10 begun
kill -0 $watch || fail "up ended with the container that was replaced"
compose kill web
code=0; wait $watch || code=$?
equals "$code" 0
eventually 5 said "        ⦿ Watch disabled"
watchers() { pgrep -f "watch --no-up -- web" || true; }
equals "$(watchers)" ""

it "ends with the code of the container that stayed, not of one that a rebuild replaced"
rm -f "$work/out"; printf 'FROM tiny\nRUN cat /image-marker >/fifth\n' >ctx/Dockerfile
"$bin/compose" up --watch --exit-code-from web web >"$work/out" 2>"$work/errors" </dev/null & watch=$!
eventually 30 said "Watch enabled"
printf 'FROM tiny\nRUN cat /image-marker >/sixth\n' >ctx/Dockerfile
eventually 30 has /sixth inside
eventually 10 said 'service(s) ["web"] successfully built'
replaced() { [ "$(grep -c "^web-1  *| begun" "$work/out")" -ge 2 ]; }
eventually 10 replaced
compose kill -s HUP web
code=0; wait $watch || code=$?
equals "$code" 5

it "takes its watch along when it is killed"
"$bin/compose" up --watch web >"$work/out" 2>"$work/errors" </dev/null & watch=$!
eventually 30 said "Watch enabled"
[ -n "$(watchers)" ] || fail "nobody watches"
kill -9 $watch
wait $watch || true
none() { [ -z "$(watchers)" ]; }
eventually 10 none
fails 1 compose up --watch -d
contains "$err" "--watch"
fails 1 compose up --watch other
contains "$err" "none of the selected services is configured for watch, consider setting a 'develop' section"

it "says what cannot be watched"
fails 1 compose watch other
contains "$err" "none of the selected services is configured for watch, consider setting a 'develop' section"
printf 'services: {a: {image: tiny, develop: {watch: [{path: ./src, action: rebuild}]}}}\n' >no-build.yaml
fails 1 compose -f no-build.yaml watch
contains "$err" "can't watch service \"a\" with action rebuild without a build context"
passes compose down -t 0 --rmi local
