#!/usr/bin/env bash
# up attached is a client: it prints logs, Ctrl-C stops the stack, killing it does not.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
cat >compose.yaml <<'YAML'
services:
  a: {image: tiny, command: ["sh", "-c", "echo line-a; sleep 2"]}
  longername: {image: tiny, command: ["sh", "-c", "echo line-b; sleep 0.3; exit 4"]}
YAML

it "prints logs and exit codes and ends with the last container"
passes compose up
contains "$out" "Attaching to a-1, longername-1"
contains "$out" "a-1           | line-a"
contains "$out" "longername-1 exited with code 4"

it "returns a service's code"
fails 4 compose up --exit-code-from longername
contains "$err" "Aborting on container exit"

cat >compose.yaml <<'YAML'
services:
  a: {image: tiny, command: ["sh", "-c", "trap 'echo stopping; exit 0' TERM; echo ready; while true; do sleep 0.1; done"]}
YAML
it "stops the stack at Ctrl-C"
passes compose down -t 0
setsid "$bin/compose" up >"$work/up" 2>&1 & client=$!
eventually 10 grep -q 'ready' "$work/up"
kill -INT $client
code=0; wait $client || code=$?
equals "$code" 130
contains "$(cat "$work/up")" "Stopped"
equals "$(compose ps -q | wc -l)" 0

it "leaves the stack running when the client is killed"
setsid "$bin/compose" up >"$work/up2" 2>&1 & client=$!
eventually 10 grep -q 'ready' "$work/up2"
kill -9 $client; wait $client 2>/dev/null || true
equals "$(compose ps -q | wc -l)" 1
