#!/usr/bin/env bash
# Volumes, binds, tmpfs, configs and secrets hold what they should, for as long as they should.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
echo seeded >"$work/tiny/data/seed"; chown 1000:1000 "$work/tiny/data/seed"
compose image import "$work/tiny" tiny >/dev/null
mkdir -p bound; echo from-host >bound/file; echo s3cret >secret.txt

cat >compose.yaml <<'YAML'
services:
  app:
    image: tiny
    command: [sleep, "1000"]
    volumes:
      - data:/data
      - ./bound:/bound
      - ./bound:/bound-ro:ro
      - ./made-by-us:/made
      - /anonymous
      - {type: tmpfs, target: /fast, tmpfs: {size: 1m}}
      - {type: volume, source: empty, target: /nocopy, volume: {nocopy: true}}
    tmpfs: /scratch
    configs: [{source: settings, target: /etc/settings, mode: 0440}]
    secrets: [token]
    environment: {A: "${A:-1}"}
  locked: {image: tiny, command: [sleep, "1000"], read_only: true}
volumes: {data: {}, empty: {}}
configs: {settings: {content: "level=${LEVEL:-high}"}}
secrets: {token: {file: secret.txt}}
YAML
passes compose up -d
app() { compose exec -T app "$@"; }

it "copies the image's files up into a new volume, with their owner"
equals "$(app cat /data/seed)" seeded
equals "$(app stat -c %u /data/seed)" 1000

it "binds host folders, makes missing ones, and keeps read-only ones so"
equals "$(app cat /bound/file)" from-host
app sh -c 'echo back >/made/file'; equals "$(cat made-by-us/file)" back
fails 1 compose exec -T app sh -c 'echo x >/bound-ro/file'
equals "$(cat bound/file)" from-host

it "mounts tmpfs with a size"
contains "$(app cat /proc/mounts)" "tmpfs /fast tmpfs"
fails 1 compose exec -T app dd if=/dev/zero of=/fast/big bs=1k count=2000
app sh -c 'echo x >/scratch/x'

it "hands over configs and secrets"
equals "$(app cat /etc/settings)" level=high
equals "$(app stat -c %a /etc/settings)" 440
equals "$(app cat /run/secrets/token)" s3cret

it "keeps a read-only root read-only"
fails 1 compose exec -T locked touch /etc/x

it "keeps named and anonymous volumes over a recreate"
app sh -c 'echo kept >/data/new; echo kept >/anonymous/new'
A=2 passes compose up -d
contains "$err" "Recreated"
equals "$(app cat /data/new)" kept
equals "$(app cat /anonymous/new)" kept

it "keeps named volumes over down, and drops them with -v"
passes compose down
passes compose up -d
equals "$(app cat /data/new)" kept
passes compose down -v
lacks "$(compose volume ls)" "$project"

it "refuses a missing bind file"
printf 'services:\n  a: {image: tiny, command: [sleep, "9"], volumes: [{type: bind, source: ./nosuch.conf, target: /etc/x.conf, bind: {create_host_path: false}}]}\n' >wrong.yaml
fails 1 compose -f wrong.yaml up -d
contains "$err" "nosuch.conf"
