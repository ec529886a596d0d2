#!/usr/bin/env bash
# Brings up examples/guestbook with the programs in the given folder and shows it working, step by step.
# Everything lives in a folder of its own that is removed at the end; only the base image's packages are kept in ~/.cache.
# usage: examples/demo.sh BIN_DIR
set -euo pipefail
bin=$(readlink -f "$1")
here=$(dirname "$(readlink -f "$0")")
[ "$(id -u)" = 0 ] || { echo "error: the demo needs root" >&2; exit 1; }

place=$(mktemp -d /tmp/compose-demo-XXXXXX)
export COMPOSE_STATE_DIR=$place/state COMPOSE_RUN_DIR=$place/run
export GUESTBOOK_PORT=${GUESTBOOK_PORT:-8080}
compose() { "$bin/compose" -f "$here/guestbook/compose.yaml" "$@"; }

finish() {
  status=$?
  [ $status -eq 0 ] || { echo "--- the demo failed; what the stack said:" >&2; compose ps -a >&2 || true; compose logs --tail 20 >&2 || true; }
  compose down -v --timeout 2 >/dev/null 2>&1 || true
  rm -rf "$place"
  exit $status
}
trap finish EXIT

show() { printf '\n\033[1m$ compose %s\033[0m\n' "$*"; compose "$@"; }
page() { curl -sS --max-time 5 "http://127.0.0.1:$GUESTBOOK_PORT/"; }
say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

say "a base image from Debian packages (no registry, no other container tool)"
"$here/base-image" "$bin/compose"

show up -d --build --wait
say "the page, through nginx, Python and Redis"
curl -sS --max-time 5 -d 'entry=hello from the demo' "http://127.0.0.1:$GUESTBOOK_PORT/"
page
show ps
show logs --tail 2
show up -d --scale app=3 --wait
say "fetched again: the replicas take turns"
# nginx asks the DNS anew after a second; from then on requests go to all three.
deadline=$((SECONDS + 10)); served=
while [ "$(sort -u <<<"$served" | grep -c served)" -lt 3 ] && [ $SECONDS -lt $deadline ]; do
  served+=$(page | sed -n 's/.*\(served by [^<]*\).*/\1/p')$'\n'
done
sort <<<"$served" | grep served | uniq -c
[ "$(sort -u <<<"$served" | grep -c served)" = 3 ] || { echo "error: not all replicas answered" >&2; exit 1; }
show ps
show down -v
say "what is left: $(compose ps -aq | wc -l) containers, $(find "$place/run/projects" -mindepth 1 2>/dev/null | wc -l) runtime files"
