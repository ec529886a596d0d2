#!/usr/bin/env bash
# Health checks drive start order, and a dependency that can never be met fails with its name.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image

it "starts a chain of healthy dependencies without waste"
{
  echo "services:"
  for i in 1 2 3 4 5 6 7 8 9 10; do
    echo "  s$i:"
    echo "    image: tiny"
    echo "    command: [sleep, '1000']"
    echo "    healthcheck: {test: [CMD, 'true'], interval: 5s, start_interval: 100ms, start_period: 10s}"
    [ $i = 1 ] || echo "    depends_on: {s$((i - 1)): {condition: service_healthy}}"
  done
} >compose.yaml
passes compose up -d --wait
equals "$(compose ps | grep -c '(healthy)')" 10
passes compose down -t 0

it "waits for completion, and fails when the job fails"
cat >compose.yaml <<'YAML'
services:
  good: {image: tiny, command: ["true"]}
  after: {image: tiny, command: [sleep, "1000"], depends_on: {good: {condition: service_completed_successfully}}}
  bad: {image: tiny, command: ["false"]}
  never: {image: tiny, command: [sleep, "1000"], depends_on: {bad: {condition: service_completed_successfully}}}
YAML
passes compose up -d after
equals "$(compose ps --services)" after
fails 1 compose up -d never
contains "$err" "bad"
lacks "$(compose ps)" never
passes compose down -t 0

it "names the unhealthy dependency and leaves the dependent created"
cat >compose.yaml <<'YAML'
services:
  db: {image: tiny, command: [sleep, "1000"], healthcheck: {test: [CMD, "false"], interval: 100ms, retries: 2}}
  web: {image: tiny, command: [sleep, "1000"], depends_on: {db: {condition: service_healthy}}}
YAML
fails 1 compose up -d
contains "$err" "dependency failed to start: container $project-db-1 is unhealthy"
contains "$(compose ps -a)" "Created"
contains "$(compose ps)" "(unhealthy)"
passes compose down -t 0

it "lets an optional dependency fail"
cat >compose.yaml <<'YAML'
services:
  db: {image: tiny, command: [sleep, "1000"], healthcheck: {test: [CMD, "false"], interval: 100ms, retries: 2}}
  web: {image: tiny, command: [sleep, "1000"], depends_on: {db: {condition: service_healthy, required: false}}}
YAML
passes compose up -d
contains "$(compose ps --services)" web
