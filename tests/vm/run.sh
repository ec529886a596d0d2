#!/usr/bin/env bash
# The acceptance on Debian 12's own kernel with systemd and cgroup v2, in qemu (software emulation: slow, about a minute to
# boot). Three boots of one disk: scenarios; then a power cut under load; then what must have survived it.
# usage: tests/vm/run.sh [SCENARIO...]     default: the scenarios in tests/vm/scenarios
set -euo pipefail
here=$(dirname "$(readlink -f "$0")"); top=$(readlink -f "$here/../..")
[ "$(id -u)" = 0 ] || { echo "error: needs root to make the disk" >&2; exit 1; }
missing=()
for p in qemu-system-x86 mmdebstrap e2fsprogs; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }
"$top/dev" build compose compose-engine compose-image compose-runtime >/dev/null

cache=${XDG_CACHE_HOME:-$HOME/.cache}/compose-vm
mkdir -p "$cache"
if [ ! -s "$cache/root.tar" ]; then
  echo "making the Debian system (once)" >&2
  sources=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    [ -s "$file" ] && grep -q bookworm "$file" && sources+=("$file")
  done
  # The programs' shared libraries come along by package name.
  mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' \
    --include=systemd-sysv,linux-image-amd64,initramfs-tools,iproute2,nftables,curl,busybox-static,python3-minimal,procps,bsdutils,libnftables1,libcurl4,libarchive13,libzstd1,libssl3,util-linux,kmod,udev \
    bookworm "$cache/root.part.tar" "${sources[@]}"
  mv "$cache/root.part.tar" "$cache/root.tar"
fi

work=$(mktemp -d /tmp/compose-vm-XXXXXX); trap 'rm -rf "$work"' EXIT
mkdir "$work/root"
tar -C "$work/root" -xf "$cache/root.tar" --exclude='./dev/*'
mkdir -p "$work/root/opt/compose/build" "$work/root/opt/compose/tests"
cp -r "$top/build/bin" "$work/root/opt/compose/build/bin"
find "$work/root/opt/compose/build/bin" -type f ! -name 'compose*' -delete
cp -r "$top/tests/e2e" "$work/root/opt/compose/tests/e2e"
cp "$here/guest.sh" "$work/root/opt/compose/guest.sh"
mapfile -t wanted < <([ $# -gt 0 ] && printf '%s\n' "$@" || grep -v '^#' "$here/scenarios")
printf '%s\n' "${wanted[@]}" >"$work/root/opt/compose/scenarios"
cat >"$work/root/etc/systemd/system/acceptance.service" <<'UNIT'
[Unit]
Description=compose acceptance
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/opt/compose/guest.sh
StandardOutput=file:/dev/ttyS0
StandardError=inherit
[Install]
WantedBy=multi-user.target
UNIT
ln -s ../acceptance.service "$work/root/etc/systemd/system/multi-user.target.wants/acceptance.service" 2>/dev/null \
  || { mkdir -p "$work/root/etc/systemd/system/multi-user.target.wants"; ln -s ../acceptance.service "$work/root/etc/systemd/system/multi-user.target.wants/"; }
ln -sf /dev/null "$work/root/etc/systemd/system/serial-getty@ttyS0.service"
kernel=$(ls "$work"/root/boot/vmlinuz-* | tail -n 1); initrd=$(ls "$work"/root/boot/initrd.img-* | tail -n 1)
cp "$kernel" "$work/vmlinuz"; cp "$initrd" "$work/initrd"
truncate -s 6G "$work/disk"
mke2fs -q -t ext4 -d "$work/root" "$work/disk"
rm -rf "$work/root"

# boot STAGE: runs the guest until it powers off or says that its plug may be pulled; its words go to $work/STAGE.log.
boot() {
  local log=$work/$1.log limit=${VM_TIMEOUT:-1500} started
  started=$(date +%s)
  echo "boot: $1" >&2
  qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -display none -no-reboot \
    -drive file="$work/disk",format=raw,if=virtio,cache=writeback -kernel "$work/vmlinuz" -initrd "$work/initrd" \
    -append "root=/dev/vda rw console=ttyS0 quiet stage=$1 systemd.show_status=false" -serial file:"$log" -nic none &
  local qemu=$!
  while kill -0 $qemu 2>/dev/null; do
    if grep -q 'PULL THE PLUG' "$log" 2>/dev/null; then kill -9 $qemu; break; fi
    [ $(($(date +%s) - started)) -lt "$limit" ] || { kill -9 $qemu; echo "error: $1 took too long" >&2; tail -n 50 "$log" >&2; exit 1; }
    command sleep 0.5
  done
  wait $qemu 2>/dev/null || true
  tr -d '\r' <"$log" | grep -E '^(---|FAIL|PASS|note:|vm:|[0-9]+ passed)' || true
}

boot scenarios
boot cut
boot survived
passed=$(cat "$work"/*.log | tr -d '\r' | grep -c '^PASS' || true)
failed=$(cat "$work"/*.log | tr -d '\r' | grep -c '^FAIL' || true)
expected=$(( ${#wanted[@]} + 1 ))
if [ "$failed" != 0 ] || [ "$passed" -lt "$expected" ]; then
  echo "vm: $passed of $expected passed, $failed failed" >&2
  tail -n 80 "$work/scenarios.log" >&2
  exit 1
fi
echo "$passed passed, 0 failed"
