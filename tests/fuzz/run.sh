#!/usr/bin/env bash
# Fuzzes every target for SECONDS each (default 60) under address and undefined-behaviour sanitizers.
# usage: tests/fuzz/run.sh [SECONDS] [TARGET...]
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/../.."
seconds=${1:-60}; [ $# -gt 0 ] && shift
missing=()
for p in clang-19 libclang-rt-19-dev; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
./dev setup
cmake -S . -B build-fuzz -G Ninja -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_COMPILER=clang++-19 -DCMAKE_C_COMPILER=clang-19 \
  -DCMAKE_CXX_FLAGS="-O1 -fsanitize=fuzzer-no-link" -DCOMPOSE_SANITIZE=address,undefined -DCOMPOSE_FUZZ=ON >/dev/null
targets=("$@"); [ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(ls tests/fuzz/*_fuzz.cpp | xargs -n1 basename -s .cpp)
ninja -C build-fuzz "${targets[@]}"
for target in "${targets[@]}"; do
  echo "== $target"
  found=build-fuzz/found/$target; mkdir -p "$found"
  "build-fuzz/bin/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 -max_len=65536 -print_final_stats=0 \
    -artifact_prefix="$found/" "$found" "tests/fuzz/corpus/$target" 2>&1 | grep -vE '^#[0-9]+\s+(REDUCE|NEW|pulse)' | tail -n 20
  [ "${PIPESTATUS[0]}" = 0 ] || exit 1
done
echo "${#targets[@]} passed, 0 failed"
