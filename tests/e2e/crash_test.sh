#!/usr/bin/env bash
# kill -9 of the supervisor, of the keeper and of both, under log load: nothing stops, no line is lost or doubled.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image

cat >compose.yaml <<'YAML'
services:
  counter:
    image: tiny
    command: ["sh", "-c", "i=0; while [ $$i -lt ${LINES_WANTED:-60000} ]; do i=$$((i+1)); echo line $$i; done; echo finished; exec sleep 1000"]
  web:
    image: tiny
    command: ["sh", "-c", "cp /image-marker /data/index.html; exec httpd -f -p 80 -h /data"]
    ports: ["127.0.0.1:18097:80"]
  flaky:
    image: tiny
    restart: on-failure
    command: ["sh", "-c", "if [ -e /tmp/again ]; then exec sleep 1000; fi; touch /tmp/again; exec sleep 1000"]
  talker:
    image: tiny
    command: ["sh", "-c", "trap 'exit 7' TERM; i=0; while true; do i=$$((i+1)); echo word $$i; sleep 0.01; done"]
YAML
ln -s busybox "$work/tiny/bin/cp"; compose image import "$work/tiny" tiny >/dev/null

pid_of() { pgrep -f "compose-engine $1 .*$project" | head -n1; }
alive() { [ -n "$(pid_of "$1")" ] && [ "$(pid_of "$1")" != "${2:-}" ]; }
page() { [ "$(curl -s --max-time 1 http://127.0.0.1:18097/)" = inside ]; }
resolves() { compose exec -T counter nslookup web 127.0.0.11; }

passes compose up -d
containers=$(compose ps -q)
eventually 5 page
start=$(compose exec -T web sh -c 'stat -c %Y /proc/1')

for round in 1 2 3; do
  it "answers pages and names within a second of kill -9 of the supervisor (round $round)"
  old=$(pid_of supervisor); kill -9 "$old"
  eventually 1 page
  eventually 1 resolves
  eventually 1 alive supervisor "$old"
done

it "answers pages and names within a second of kill -9 of the keeper, and commands that were waiting go on"
mkfifo "$work/typed"; exec {typed}<>"$work/typed"
timeout -s KILL 30 "$bin/compose" run --rm -T counter sh -c 'cat /image-marker; read line; echo " $line"; exit 9' <"$work/typed" >"$work/said" 2>"$work/stderr" & waiting=$!
begun() { grep -q inside "$work/said"; }
eventually 10 begun
old=$(pid_of keeper); kill -9 "$old"
eventually 1 page
eventually 1 resolves
eventually 1 alive keeper "$old"
eventually 1 alive supervisor
echo typed >&"$typed"
code=0; wait $waiting || code=$?
equals "$code" 9
equals "$(tr -d '\n' <"$work/said")" "inside typed"

it "survives kill -9 of both, and is re-adopted by the next command"
kill -9 "$(pid_of keeper)" "$(pid_of supervisor)"
passes compose up -d
lacks "$err" "Recreate"
lacks "$err" "Starting"
eventually 1 page
eventually 1 resolves
equals "$(compose ps -q)" "$containers"
equals "$(compose exec -T web sh -c 'stat -c %Y /proc/1')" "$start"

it "is re-adopted by \`system restore\`, whatever folder it is called in"
kill -9 "$(pid_of keeper)" "$(pid_of supervisor)"
(cd / && passes compose system restore)
eventually 1 page
equals "$(compose ps -q)" "$containers"

it "keeps every log line exactly once"
eventually 60 sh -c "'$bin/compose' logs --no-log-prefix counter | tail -n 1 | grep -q finished"
compose logs --no-log-prefix counter | grep '^line ' >"$work/lines"
equals "$(wc -l <"$work/lines")" 60000
equals "$(awk '$2 != NR {print NR; exit}' "$work/lines")" ""

it "keeps who is attached attached over kill -9 of the supervisor, without a gap"
"$bin/compose" attach --no-stdin talker >"$work/attached" & attached=$!
eventually 5 test -s "$work/attached"
for round in 1 2 3; do
  old=$(pid_of supervisor); kill -9 "$old"
  eventually 2 alive supervisor "$old"
  seen=$(wc -l <"$work/attached")
  eventually 5 sh -c "[ \$(wc -l <'$work/attached') -gt $((seen + 10)) ]"
done
passes compose kill -s TERM talker
code=0; wait $attached || code=$?
equals "$code" 7
grep '^word ' "$work/attached" >"$work/words"
equals "$(awk 'NR > 1 && $2 != last + 1 {print NR; exit} {last = $2}' "$work/words")" ""

it "keeps \`up\` attached over kill -9 of the supervisor"
"$bin/compose" up talker >"$work/up.out" 2>&1 & up=$!
eventually 5 grep -q 'word 10$' "$work/up.out"
old=$(pid_of supervisor); kill -9 "$old"
eventually 2 alive supervisor "$old"
seen=$(wc -l <"$work/up.out")
eventually 5 sh -c "[ \$(wc -l <'$work/up.out') -gt $((seen + 10)) ]"
kill -INT $up
code=0; wait $up || code=$?
equals "$code" 130
contains "$(compose ps -a talker)" "Exited (7)"

it "keeps restart policies and exit codes right afterwards"
passes compose kill -s KILL counter
contains "$(compose ps -a counter)" "Exited (137)"
passes compose up -d
