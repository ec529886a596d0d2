# Sourced by every scenario: an engine of its own, a tiny image, and checks that wait for a state with a deadline.
# A scenario is a script *_test.sh: intent in its first comment, then steps as `it "behaviour sentence"` with checks.
set -euo pipefail
bin=${COMPOSE_BIN:-$(dirname "$(readlink -f "$0")")/../../build/bin}
bin=$(readlink -f "$bin")
scenario=$(basename "$0" .sh)

# skip REASON: where CI says that nothing may be skipped, a failure.
skip() {
  echo "SKIP: $1"
  [ "${COMPOSE_REQUIRE_NS:-}" = 1 ] && exit 1
  exit 0
}
[ "$(id -u)" = 0 ] || skip "needs root"

work=$(mktemp -d "/tmp/compose-e2e-XXXXXX")
export COMPOSE_STATE_DIR=$work/state COMPOSE_RUN_DIR=$work/run HOME=$work/home NO_COLOR=1
export DOCKER_CONFIG=$work/home/.docker
mkdir -p "$work/home" "$work/project"
cd "$work/project"
projects=()

compose() { "$bin/compose" "$@"; }
# Names are unique per run so that scenarios of two runs never meet.
project=e2e$$
export COMPOSE_PROJECT_NAME=$project

fail() { echo "FAIL: $*" >&2; exit 1; }
it() { echo "--- it $*"; }

# eventually SECONDS COMMAND...: the command succeeds before the deadline. COMPOSE_TEST_PATIENCE multiplies it (emulated machines).
eventually() {
  local deadline=$(( $(date +%s%N) + $1 * 1000000000 * ${COMPOSE_TEST_PATIENCE:-1} )); shift
  until "$@" >/dev/null 2>&1; do
    [ "$(date +%s%N)" -lt "$deadline" ] || fail "not within the deadline: $*"
    command sleep 0.05
  done
}
equals() { [ "$1" = "$2" ] || fail "expected '$2', got '$1'"; }
contains() { case $1 in *"$2"*) ;; *) fail "expected to contain '$2': $1" ;; esac; }
lacks() { case $1 in *"$2"*) fail "expected not to contain '$2': $1" ;; *) ;; esac; }
# fails CODE COMMAND...: exit code as given; stdout in $out, stderr in $err.
fails() {
  local want=$1 got=0; shift
  out=$("$@" 2>"$work/stderr") || got=$?
  err=$(cat "$work/stderr")
  [ "$got" = "$want" ] || fail "exit $got, expected $want: $* :: $err"
}
# passes COMMAND...: exit 0; stdout in $out, stderr in $err.
passes() { fails 0 "$@"; }

# An image of busybox alone; /image-marker proves that a command runs inside it.
tiny_image() {
  local root=$work/tiny name=${1:-tiny}
  mkdir -p "$root"/{bin,etc,tmp,data,proc,sys,dev}
  cp /bin/busybox "$root/bin/busybox"
  for applet in sh cat echo ls sleep true false wget nc httpd nslookup id env hostname touch mkdir rm kill test ps mount grep wc seq date ip stat chown chmod ln ping head tail tr sort sed awk dd yes printf od md5sum pwd readlink find df ulimit; do
    ln -sf busybox "$root/bin/$applet"
  done
  echo inside >"$root/image-marker"
  echo 'root:x:0:0:root:/root:/bin/sh
app:x:1000:1000:app:/:/bin/sh' >"$root/etc/passwd"
  echo 'root:x:0:
app:x:1000:' >"$root/etc/group"
  compose image import "$root" "$name" >/dev/null
}

leftovers() {
  { pgrep -af "compose-engine.*$project|compose-runtime" | grep -F "$work" || true
    grep -F "$work" /proc/self/mounts || true
    find /sys/fs/cgroup -type d -path "*$project*" 2>/dev/null || true
    ip -o link | grep -F "$project" || true
    find "$work/run/projects" -mindepth 1 2>/dev/null || true
  } | head -20
}

finish() {
  local status=$?
  set +e
  if [ $status -ne 0 ]; then
    echo "--- state at the failure:" >&2
    compose ls -a >&2; for p in "$project" "${projects[@]}"; do compose -p "$p" ps -a >&2; compose -p "$p" logs --tail 20 >&2; done
    find "$work/state" "$work/run" -name '*.log' -size -200k -exec tail -n 20 {} + >&2 2>/dev/null
  fi
  for p in "$project" "${projects[@]}"; do compose -p "$p" down -v --remove-orphans -t 0 >"$work/down.log" 2>&1 || { status=1; cat "$work/down.log" >&2; }; done
  local left; left=$(leftovers)
  if [ -n "$left" ]; then
    # The supervisor ends by itself a moment after its last container.
    local deadline=$(( $(date +%s) + 10 ))
    while [ -n "$left" ] && [ "$(date +%s)" -lt $deadline ]; do command sleep 0.1; left=$(leftovers); done
    [ -z "$left" ] || { echo "FAIL: left behind:" >&2; echo "$left" >&2; status=1; }
  fi
  if [ "${COMPOSE_KEEP_FAILED:-}" = 1 ] && [ $status -ne 0 ]; then echo "kept: $work" >&2; else rm -rf "$work"; fi
  [ $status -eq 0 ] && echo "1 passed, 0 failed"
  exit $status
}
trap finish EXIT
