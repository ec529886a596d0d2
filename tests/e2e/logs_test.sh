#!/usr/bin/env bash
# Logs: every line, in order, from both streams, followed over scale and recreate, bounded by rotation.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
cat >compose.yaml <<'YAML'
services:
  a: {image: tiny, command: ["sh", "-c", "echo out; echo err >&2; printf 'no newline'; exec sleep 1000"], environment: {V: "${V:-1}"}}
  longername: {image: tiny, command: ["sh", "-c", "for i in 1 2 3 4 5; do echo line $$i; done; exec sleep 1000"]}
  chatty:
    image: tiny
    command: ["sh", "-c", "yes 0123456789012345678901234567890123456789 | head -n 100000; echo end; exec sleep 1000"]
    logging: {driver: json-file, options: {max-size: 1m, max-file: "2"}}
YAML
passes compose up -d

it "prefixes lines, padded to the longest name"
eventually 5 sh -c "'$bin/compose' logs a | grep -q 'a-1  | err'"
contains "$(compose logs a longername)" "a-1           | out"
contains "$(compose logs a longername)" "longername-1  | line 5"
equals "$(compose logs --no-log-prefix longername | wc -l)" 5

it "cuts with --tail and --since"
equals "$(compose logs --no-log-prefix --tail 2 longername | tr '\n' ' ')" "line 4 line 5 "
equals "$(compose logs --since 1h --no-log-prefix longername | wc -l)" 5
equals "$(compose logs --until 1h --no-log-prefix longername | wc -l)" 0
contains "$(compose logs -t --tail 1 longername)" "$(date -u +%Y-)"

it "rotates"
eventually 20 sh -c "'$bin/compose' logs --no-log-prefix --tail 1 chatty | grep -q end"
[ "$(du -sb "$COMPOSE_STATE_DIR/containers/$(compose ps -q chatty)" | cut -f1)" -lt 9000000 ] || fail "logs not rotated"

it "follows over scale and recreate"
compose logs -f a >"$work/followed" & follower=$!
eventually 5 grep -q 'a-1  | out' "$work/followed"
passes compose up -d --scale a=2
eventually 5 grep -q 'a-2  | out' "$work/followed"
V=2 passes compose up -d --scale a=2
again() { [ "$(grep -c 'a-1  | out' "$work/followed")" = 2 ]; }
eventually 5 again
kill $follower; wait $follower 2>/dev/null || true

it "names an unknown service"
fails 1 compose logs nosuch
contains "$err" "no such service: nosuch"
