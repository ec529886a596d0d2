#!/usr/bin/env bash
# A stack comes up, is left alone when nothing changed, follows its file when it did, and goes away without a trace.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image

cat >compose.yaml <<'YAML'
services:
  web:
    image: tiny
    command: ["sh", "-c", "echo web started; exec httpd -f -p 80 -h /data"]
    depends_on: {db: {condition: service_healthy}}
    networks: [front, back]
    environment: {GREETING: "${GREETING:-hello}"}
  db:
    image: tiny
    command: ["sh", "-c", "echo db started; touch /tmp/ok; exec sleep 1000"]
    healthcheck: {test: ["CMD", "test", "-f", "/tmp/ok"], interval: 1s}
    volumes: ["data:/data"]
    networks: [back]
  job:
    image: tiny
    command: ["sh", "-c", "echo job done; exit 3"]
    networks: [back]
networks: {front: {}, back: {}}
volumes: {data: {}}
YAML

it "prints the plan and changes nothing with --dry-run"
passes compose --dry-run up -d
contains "$err" "DRY-RUN MODE"
contains "$err" "Container $project-web-1  Created"
equals "$(compose ps -aq | wc -l)" 0

it "comes up in dependency order"
passes compose up -d
contains "$err" "Network ${project}_front  Created"
contains "$err" "Volume ${project}_data  Created"
contains "$err" "Container $project-db-1  Healthy"
contains "$err" "Container $project-web-1  Started"
equals "$(compose exec -T web cat /image-marker)" inside
equals "$(compose ps --services | sort | tr '\n' ' ')" "db web "
contains "$(compose ps)" "(healthy)"
eventually 5 sh -c "'$bin/compose' ps -a | grep -q 'Exited (3)'"

it "has a supervisor whose table of descriptors need not grow while it serves"
supervisor=$(pgrep -f "compose-engine supervis[a-z]* --project $project")
[ "$(awk '/^FDSize/ {print $2}' /proc/$supervisor/status)" -ge 4096 ] || fail "the table was not made large at the start"
# The end of a systemd unit or session does not reach it there.
[ ! -d /run/systemd/system ] || contains "$(cat /proc/$supervisor/cgroup)" "/compose/$project/_engine"

it "does nothing the second time and says so"
before=$(compose ps -q db web)
passes compose up -d
contains "$err" "Container $project-web-1  Running"
lacks "$err" "Recreate"
equals "$(compose ps -q db web)" "$before"

it "recreates a changed service only"
db=$(compose ps -q db); web=$(compose ps -q web)
GREETING=bonjour passes compose up -d
export GREETING=bonjour
contains "$err" "Container $project-web-1  Recreated"
equals "$(compose ps -q db)" "$db"
[ "$(compose ps -q web)" != "$web" ] || fail "web was not recreated"
equals "$(compose exec -T web sh -c 'echo $GREETING')" bonjour

it "scales up and down"
passes compose up -d --scale web=3
equals "$(compose ps -q web | wc -l)" 3
passes compose up -d --scale web=1
equals "$(compose ps -q web | wc -l)" 1
contains "$(compose ps web)" "$project-web-1"

it "stops, starts, restarts, kills and removes"
passes compose stop web
contains "$err" "Container $project-web-1  Stopped"
lacks "$(compose ps)" "$project-web-1"
passes compose start web
contains "$err" "Container $project-web-1  Started"
passes compose restart web
contains "$err" "Container $project-web-1  Restarting"
passes compose kill web
contains "$(compose ps -a)" "Exited (137)"
passes compose rm -f web
contains "$out" "Going to remove $project-web-1"
lacks "$(compose ps -a)" "$project-web-1"

it "reports orphans and removes them when asked"
cat >smaller.yaml <<'YAML'
services:
  db: {image: tiny, command: ["sleep", "1000"]}
YAML
passes compose -f smaller.yaml up -d --no-deps db
contains "$err" "Found orphan containers"
contains "$err" "$project-job-1"
passes compose -f smaller.yaml up -d --remove-orphans
equals "$(compose ps -aq | wc -l)" 1

it "goes away without a trace, volumes only when asked"
passes compose down
contains "$err" "Network ${project}_back  Removed"
equals "$(compose ps -aq | wc -l)" 0
contains "$(compose volume ls)" "${project}_data"
passes compose down -v
lacks "$(compose volume ls)" "${project}_data"
passes compose down
equals "$err" ""
