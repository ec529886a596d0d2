#!/usr/bin/env bash
# A source file over 800 lines is two rooms; a sleep is a wait without a reason (back-off before asking again, bounded, is one:
# the files named); shelling out is not how we do things.
set -euo pipefail
cd "${1:-$(dirname "$0")/../..}"
failed=0
while read -r lines file; do
  [ "$lines" -le 800 ] || { echo "$file: $lines lines (limit 800)"; failed=1; }
done < <(git ls-files '*.cpp' '*.h' | xargs -r wc -l | awk '$2 != "total" {print $1, $2}')
back_off='^(engine/client/(attach|supervisor)|engine/registry/(client|fetch)|network/netlink)\.cpp:[0-9]+: *std::this_thread::sleep_for'
if git ls-files '*.cpp' '*.h' | grep -vE '^tests/(support/|kernel/network/lab\.cpp)' | xargs -r grep -nE '(\busleep\(|sleep_for\(|[^a-z_]system\(|popen\()' | grep -vE "$back_off"; then
  echo "wait for a state with a deadline; start programs with base/process.h"; failed=1
fi
if git ls-files | grep -v '^tests/lint/' | xargs -r grep -nE '\b(TODO|FIXME|XXX)\b' | grep -vE '(TODO|FIXME)\(#[0-9]+\)'; then
  echo "a TODO carries an issue number: TODO(#12)"; failed=1
fi
exit $failed
