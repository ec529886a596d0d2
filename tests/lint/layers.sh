#!/usr/bin/env bash
# Which room may include which (ARCHITECTURE.md "Rooms"). A new arrow is a decision: add it there and here.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"

declare -A allowed=(
  [base]="base"
  [runtime]="runtime base"
  [network]="network base"
  [volumes]="volumes base"
  [healthcheck]="healthcheck base"
  [engine/api]="engine/api base"
  [engine/store]="engine/store engine/api base"
  [engine/logs]="engine/logs engine/api base"
  [engine/images]="engine/images engine/store engine/api base"
  [engine/registry]="engine/registry engine/images engine/store engine/api base"
  [engine/containers]="engine/containers engine/images engine/store engine/logs engine/api volumes healthcheck runtime/spec base"
  [engine/files]="engine/files engine/registry engine/containers engine/images engine/store engine/api volumes base"
  [engine/build]="engine/build engine/files/cli.h engine/registry engine/containers engine/images engine/store engine/api runtime/spec network base"
  [engine/client]="engine/client engine/containers engine/store engine/api base"
  [engine/supervisor]="engine network volumes healthcheck runtime base"
  [compose/model]="compose/model base"
  [compose/load]="compose/load compose/model base"
  [compose/reconcile]="compose/reconcile compose/load compose/model engine/api base"
  [compose/cli]="compose engine/client engine/logs engine/images engine/store engine/api engine/containers engine/build/build.h engine/build/ignore.h base"
)
failed=0
for room in "${!allowed[@]}"; do
  [ -d "$room" ] || continue
  while IFS=: read -r file line include; do
    ok=
    for prefix in ${allowed[$room]}; do
      [[ $include == "$prefix"/* || $include == "$prefix" ]] && ok=1 && break
    done
    [ -n "$ok" ] || { echo "$file:$line: $room must not include $include"; failed=1; }
  done < <(grep -rnoE '^#include "[^"]+"' "$room" --include='*.h' --include='*.cpp' | sed -E 's/#include "([^"]+)"/\1/')
done

# Rooms that may see both vocabularies: only the two translators.
while read -r file; do
  case $file in compose/reconcile/*) ;; *) continue ;; esac
  grep -q '"engine/' "$file" && grep -q '"compose/model' "$file" || continue
  case $file in compose/reconcile/desired*|compose/reconcile/observed*|compose/reconcile/service_spec*) ;;
    *) echo "$file: only desired and observed may see both compose/model and engine"; failed=1 ;; esac
done < <(git ls-files compose 2>/dev/null)

# Heavy headers stay out of our headers (compile time on small machines).
if grep -rnE '#include <(nlohmann/json(_fwd)?\.hpp|yaml\.h|boost/|catch2|CLI/|curl/|archive\.h|sqlite3\.h)' --include='*.h' base compose engine network volumes healthcheck runtime \
    | grep -vE '^(engine/supervisor/async|engine/api/codec|engine/store/database|runtime/spec/reader)\.h:'; then
  echo "heavy headers belong in .cpp files, or in a header of the room's own named above"; failed=1
fi
exit $failed
