#!/usr/bin/env bash
# exec and run: streams, exit codes, users, environment, terminals; one-offs leave nothing behind.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
cat >compose.yaml <<'YAML'
services:
  app:
    image: tiny
    command: [sleep, "1000"]
    environment: {FROM_FILE: "yes"}
    ports: ["18120:80"]
    depends_on: [db]
  db: {image: tiny, command: [sleep, "1000"]}
YAML
passes compose up -d

it "runs a command inside the container and returns its code"
equals "$(compose exec -T app cat /image-marker)" inside
fails 5 compose exec -T app sh -c 'exit 5'
equals "$(echo typed | compose exec -T app cat)" typed
passes compose exec -T app sh -c 'echo to-stderr >&2'
equals "$err" to-stderr
equals "$(compose exec -T -u app app id -u)" 1000
equals "$(compose exec -T -w /tmp app pwd)" /tmp
equals "$(compose exec -T -e X=y app sh -c 'echo $X$FROM_FILE')" yyes
fails 127 compose exec -T app nosuchprogram
contains "$err" nosuchprogram
fails 1 compose exec -T nosuch true
contains "$err" 'service "nosuch" is not running'

it "gives exec a terminal"
equals "$(script -qec "$bin/compose exec app sh -c 'test -t 0 && test -t 1 && echo terminal'" /dev/null | tr -d '\r' | sed 's,\^@,,' | grep .)" terminal

it "runs one-offs with their own command, and removes them"
equals "$(compose run --rm -T app cat /image-marker)" inside
fails 7 compose run --rm -T app sh -c 'exit 7'
equals "$(compose run --rm -T -e X=z --entrypoint 'sh -c' app 'echo $X$FROM_FILE')" zyes
equals "$(echo piped | compose run --rm -T app cat)" piped
mkdir -p given; echo file >given/f
equals "$(compose run --rm -T -v "$PWD/given:/given" app cat /given/f)" file
equals "$(compose ps -aq | wc -l)" 2

it "tells the code and the last words of a one-off that ends before its input does"
before=$(ls "$COMPOSE_STATE_DIR/containers" | wc -l)
for i in $(seq 15); do
  fails 7 compose run --rm -T db sh -c 'echo last; exit 7' </dev/null
  equals "$out" last
done
settled() { [ "$(ls "$COMPOSE_STATE_DIR/containers" | wc -l)" = "$before" ]; }
eventually 10 settled

it "gives run a terminal"
equals "$(script -qec "$bin/compose run --rm app sh -c 'test -t 0 && test -t 1 && echo terminal'" /dev/null | tr -d '\r' | sed 's,\^@,,' | grep . | tail -n 1)" terminal

it "starts dependencies of a one-off"
passes compose down -t 0
passes compose run --rm -T app true
contains "$(compose ps --services)" db

it "publishes a one-off's ports only when asked"
compose run --rm -d --service-ports --name oneoff app httpd -f -p 80 -h / >/dev/null
eventually 5 sh -c 'curl -s --max-time 1 http://127.0.0.1:18120/image-marker | grep -q inside'
passes compose down --remove-orphans -t 0
equals "$(compose ps -aq | wc -l)" 0
