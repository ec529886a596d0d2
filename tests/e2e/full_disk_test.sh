#!/usr/bin/env bash
# No space left: one clear message, nothing half-made, and all is well once there is room.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
mkdir -p "$work/state"
mount -t tmpfs -o size=6m compose-e2e "$work/state"
unmount() { umount -l "$work/state"; }
tiny_image
cat >compose.yaml <<'YAML'
services:
  a: {build: ., command: [sleep, "1000"]}
YAML
printf 'FROM tiny\nRUN cat /image-marker && dd if=/dev/zero of=/big bs=1k count=20000\n' >Dockerfile

it "fails a build with the reason and leaves no half layer"
before=$(find "$work/state/layers" -maxdepth 1 | wc -l)
fails 1 compose build
contains "$out$err" "o space left"
equals "$(find "$work/state/layers" -maxdepth 1 | wc -l)" "$before"

it "works again with room"
mount -o remount,size=64m "$work/state"
passes compose up -d
equals "$(compose exec -T a cat /image-marker)" inside
passes compose down -v -t 0
unmount
