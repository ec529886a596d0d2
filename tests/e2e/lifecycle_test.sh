#!/usr/bin/env bash
# Exit codes, restart policies, the memory limit, stop signals: containers end and come back as declared.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image

cat >compose.yaml <<'YAML'
services:
  always: {image: tiny, restart: always, command: ["sh", "-c", "echo run; sleep 0.2; exit 1"]}
  thrice: {image: tiny, restart: "on-failure:3", command: ["sh", "-c", "echo run; exit 5"]}
  once: {image: tiny, restart: on-failure, command: ["sh", "-c", "echo run; exit 0"]}
  deaf: {image: tiny, command: ["sh", "-c", "sleep 1000"], stop_grace_period: 20s}
  polite: {image: tiny, command: ["sh", "-c", "trap 'echo bye; exit 0' USR1; while true; do sleep 0.1; done"], stop_signal: SIGUSR1}
  stubborn: {image: tiny, command: ["sh", "-c", "trap '' TERM; while true; do sleep 0.1; done"], stop_grace_period: 1s}
  hungry: {image: tiny, mem_limit: 16m, memswap_limit: 16m, command: ["sh", "-c", "tail -c 200m /dev/zero | tail -c 190m >/dev/null; sleep 0.1; exit 1"]}
YAML
passes compose up -d
runs() { [ "$(compose logs --no-log-prefix "$1" | grep -c run)" -ge "$2" ]; }

it "restarts as the policy says"
eventually 10 runs always 3
eventually 10 runs thrice 4
eventually 10 sh -c "'$bin/compose' ps -a thrice | grep -q 'Exited (5)'"
equals "$(compose logs --no-log-prefix thrice | grep -c run)" 4
equals "$(compose logs --no-log-prefix once | grep -c run)" 1
contains "$(compose ps -a once)" "Exited (0)"

it "sends the declared stop signal"
passes compose stop polite
contains "$(compose logs --no-log-prefix polite)" bye
contains "$(compose ps -a polite)" "Exited (0)"

it "does not wait out the grace of a process that cannot hear"
start=$(date +%s)
passes compose stop deaf
[ $(($(date +%s) - start)) -lt 10 ] || fail "waited for a deaf process"

it "kills what ignores the signal after its grace"
passes compose stop stubborn
contains "$(compose ps -a stubborn)" "Exited (137)"

it "stays stopped when stopped by the user"
passes compose stop always
lacks "$(compose ps)" always
