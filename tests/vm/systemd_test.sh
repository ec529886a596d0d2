#!/usr/bin/env bash
# What systemd does to units and sessions does not reach a project's engine.
source "$(dirname "$(readlink -f "$0")")/../e2e/lib.sh"
[ -d /run/systemd/system ] || skip "needs systemd"
tiny_image
cat >compose.yaml <<'YAML'
services:
  a: {image: tiny, command: ["sleep", "1000"], restart: always}
YAML

it "outlives the end of the unit that brought it up"
unit=compose-e2e-$$.service
cat >"/run/systemd/system/$unit" <<UNIT
[Service]
Type=oneshot
Environment=COMPOSE_STATE_DIR=$COMPOSE_STATE_DIR COMPOSE_RUN_DIR=$COMPOSE_RUN_DIR HOME=$HOME
WorkingDirectory=$PWD
ExecStart=$bin/compose -p $project up -d
UNIT
systemctl daemon-reload
passes systemctl start "$unit"
rm "/run/systemd/system/$unit"
engine() { pgrep -f "compose-engine $1 --project $project"; }
supervisor=$(engine supervisor) keeper=$(engine keeper)
[ -n "$supervisor" ] && [ -n "$keeper" ] || fail "the engine ended with the unit"
contains "$(cat "/proc/$keeper/cgroup")" "/compose/$project/_engine"
equals "$(compose exec -T a cat /image-marker)" inside
id=$(compose ps -q a)
process=$(pgrep -nf "^sleep 1000")
kill -9 "$process"
back() { [ "$(compose ps -q --status running a)" = "$id" ] && [ "$(pgrep -nf '^sleep 1000')" != "$process" ]; }
eventually 10 back
equals "$(engine supervisor)" "$supervisor"

it "leaves no cgroup behind"
passes compose down -t 0
[ ! -e "/sys/fs/cgroup/compose/$project" ] || fail "a cgroup is left"
