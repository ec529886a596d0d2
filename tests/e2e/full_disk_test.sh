#!/usr/bin/env bash
# No space left: one clear message, nothing half-made, and all is well once there is room.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
mkdir -p "$work"/{state,run}
mount -t tmpfs -o size=6m compose-e2e "$work/state"
mount -t tmpfs -o size=6m compose-e2e "$work/run"
trap 'status=$?; set +e; compose down -v -t 0 >/dev/null 2>&1; umount -l "$work/state" "$work/run" 2>/dev/null; (exit $status); finish' EXIT
# fill FOLDER KIB: leaves that much room on its file system, or none when somebody else writes there too.
fill() { head -c $(( ($(df -k --output=avail "$1" | tail -1) - $2) * 1024 )) /dev/zero >"$1/filler" 2>/dev/null || true; }
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

it "fails a load with the reason and leaves nothing of it"
head -c 4000000 /dev/urandom >"$work/tiny/noise"
COMPOSE_STATE_DIR=$work/elsewhere passes compose image import "$work/tiny" noisy
COMPOSE_STATE_DIR=$work/elsewhere passes compose image save -o "$work/noisy.tar" noisy
fails 1 compose image load -i "$work/noisy.tar"
contains "$err" "o space left"
lacks "$(compose image ls)" noisy
equals "$(find "$work/state/layers" -maxdepth 1 | wc -l)" "$before"
equals "$(find "$work/state/images/partial" -type f | wc -l)" 0

it "works again with room"
mount -o remount,size=64m "$work/state"
passes compose up -d
equals "$(compose exec -T a cat /image-marker)" inside
passes compose down -v -t 0

it "says where there was no room for a container, and starts it once there is"
cat >compose.yaml <<'YAML'
services:
  a: {image: tiny, command: [sleep, "1000"], volumes: [kept:/kept, /anonymous]}
  b: {image: tiny, command: [sleep, "1000"], depends_on: [a]}
volumes: {kept: {}}
YAML
for folder in state run; do
  # Nothing at all, room for the first record only, room for a container but not for the next.
  for room in 0 16 40; do
    fill "$work/$folder" $room
    fails 1 compose up -d
    contains "$err" "$work/$folder/"
    contains "$err" "no space left on device"
    rm "$work/$folder/filler"
    passes compose up -d
    equals "$(compose ps -q | wc -l)" 2
    equals "$(compose exec -T b cat /image-marker)" inside
    passes compose down -v -t 0
    equals "$(ls "$work/state/containers" "$work/state/volumes" | grep -c '^[0-9a-z]')" 0
  done
done

it "keeps a container and its log when the room ends while it runs"
cat >compose.yaml <<'YAML'
services:
  a: {image: tiny, command: [sh, -c, "i=0; while [ ! -e /tmp/end ]; do i=$$((i+1)); echo line $$i; sleep 0.02; done; echo last; exec sleep 1000"]}
YAML
passes compose up -d
id=$(compose ps -q a)
eventually 10 sh -c "'$bin/compose' logs a | grep -q 'line 5\$'"
process=$(pgrep -nf "echo last; exec sleep 1000")
written() { awk '/^wchar/ { print $2 }' "/proc/$process/io"; }
before=$(written)
fill "$work/run" 0
fill "$work/state" 0
printed_more() { [ "$(written)" -gt $((before + 300)) ]; }
eventually 10 printed_more
rm "$work/state/filler" "$work/run/filler"
passes compose exec -T a touch /tmp/end
eventually 10 sh -c "'$bin/compose' logs --no-log-prefix a | grep -qx last"
compose logs --no-log-prefix a | grep '^line' | awk '$2 != NR { print "missing before " $2; exit 1 }' || fail "a line is lost"
equals "$(compose ps -q a)" "$id"
passes compose down -v -t 0
