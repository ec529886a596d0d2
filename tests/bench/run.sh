#!/usr/bin/env bash
# Every benchmark, one JSON line a measurement. usage: tests/bench/run.sh BIN_DIR [options of stack.py]
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
bin=$1; shift
python3 "$here/config.py" "$bin"
exec python3 "$here/stack.py" "$bin" "$@"
