#!/usr/bin/env bash
# The acceptance on Debian 12's own kernel with systemd and nothing but cgroup v2, in qemu (software emulation: slow, about a
# minute to boot, some ten times slower than the machine afterwards). One disk is booted several times: for the tests; for an
# orderly reboot with a stack up; for a power cut under load; and for what must have survived each.
# usage: tests/vm/run.sh [NAME...]     names as in tests/vm/scenarios, which is the default
#        VM_KEEP=FOLDER keeps the consoles' logs there; VM_TIMEOUT limits one boot (seconds)
set -euo pipefail
here=$(dirname "$(readlink -f "$0")"); top=$(readlink -f "$here/../..")
[ "$(id -u)" = 0 ] || { echo "error: needs root to make the disk" >&2; exit 1; }
missing=()
for p in qemu-system-x86 mmdebstrap e2fsprogs; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] || { apt-get update -qq; DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null; }

mapfile -t wanted < <([ $# -gt 0 ] && printf '%s\n' "$@" || grep -v '^#' "$here/scenarios")
wants() { printf '%s\n' "${wanted[@]}" | grep -qx "$1"; }
mapfile -t rooms < <(printf '%s\n' "${wanted[@]}" | grep -E '^(unit|kernel)_' || true)
"$top/dev" build compose compose-engine compose-image compose-runtime probe ${rooms[@]+"${rooms[@]}"} >/dev/null

# The Debian system: made once for each list of packages. The programs' shared libraries come along by package name.
packages=systemd-sysv,linux-image-amd64,initramfs-tools,iproute2,nftables,curl,busybox-static,python3,procps,bsdutils,libcurl4,libarchive13,libzstd1,libisal2,libssl3,util-linux,kmod,udev,git
cache=${XDG_CACHE_HOME:-$HOME/.cache}/compose-vm/$(printf %s "$packages" | md5sum | cut -c1-12)
if [ ! -s "$cache/base.ext4" ]; then
  echo "making the Debian system (once)" >&2
  sources=()
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list; do
    [ -s "$file" ] && grep -q bookworm "$file" && grep -q debian.org "$file" && sources+=("$file")
  done
  rm -rf "$cache"; mkdir -p "$cache/root"
  mmdebstrap --quiet --variant=minbase --aptopt='APT::Install-Recommends "false"' --include="$packages" \
    bookworm "$cache/root.tar" "${sources[@]}"
  tar -C "$cache/root" -xf "$cache/root.tar" --exclude='./dev/*' && rm "$cache/root.tar"
  cp "$(ls "$cache"/root/boot/vmlinuz-* | tail -n 1)" "$cache/vmlinuz"
  cp "$(ls "$cache"/root/boot/initrd.img-* | tail -n 1)" "$cache/initrd"
  rm -rf "$cache"/root/boot/* "$cache"/root/var/cache/apt/* "$cache"/root/var/lib/apt/lists/* "$cache"/root/usr/share/{doc,man,locale}
  mkdir -p "$cache/root/etc/systemd/system/multi-user.target.wants"
  cat >"$cache/root/etc/systemd/system/acceptance.service" <<'UNIT'
[Unit]
Description=compose acceptance
After=multi-user.target
[Service]
Type=oneshot
ExecStartPre=/bin/mount -t 9p -o trans=virtio,version=9p2000.L,ro compose /mnt
ExecStart=/mnt/tests/vm/guest.sh
StandardOutput=file:/dev/ttyS0
StandardError=inherit
[Install]
WantedBy=multi-user.target
UNIT
  ln -s ../acceptance.service "$cache/root/etc/systemd/system/multi-user.target.wants/acceptance.service"
  ln -s /dev/null "$cache/root/etc/systemd/system/serial-getty@ttyS0.service"
  truncate -s 4G "$cache/base.part"
  mke2fs -q -t ext4 -d "$cache/root" "$cache/base.part"
  rm -rf "$cache/root"
  mv "$cache/base.part" "$cache/base.ext4"
fi

work=$(mktemp -d /tmp/compose-vm-XXXXXX)
qemu=
finish() { [ -z "$qemu" ] || kill -9 "$qemu" 2>/dev/null || true; [ -z "${VM_KEEP:-}" ] || { mkdir -p "$VM_KEEP"; cp "$work"/*.log "$VM_KEEP"; }; rm -rf "$work"; }
trap finish EXIT
cp --sparse=always "$cache/base.ext4" "$work/disk"
# What the guest copies to the same path as here: test programs know their folder.
share=$work/share
mkdir -p "$share/build/bin"
for program in compose compose-engine compose-image compose-runtime probe ${rooms[@]+"${rooms[@]}"}; do
  strip -o "$share/build/bin/$program" "$top/build/bin/$program"
done
cp -r "$top/tests" "$top/examples" "$share/"
printf '%s\n' "${wanted[@]}" >"$share/wanted"
printf '%s\n' "$top" >"$share/place"

# boot STAGE: runs the guest until it powers off, restarts, or says that its plug may be pulled. Its words go to STAGE.log.
boot() {
  local log=$work/$1.log limit=${VM_TIMEOUT:-5400} started
  started=$(date +%s)
  echo "boot: $1" >&2
  nice qemu-system-x86_64 -machine q35 -accel tcg,thread=multi -cpu max -smp 2 -m 2048 -display none -no-reboot \
    -drive file="$work/disk",format=raw,if=virtio,cache=writeback -kernel "$cache/vmlinuz" -initrd "$cache/initrd" \
    -virtfs local,path="$share",mount_tag=compose,security_model=none,readonly=on \
    -append "root=/dev/vda rw console=ttyS0 quiet stage=$1 systemd.show_status=false no_timer_check" -serial file:"$log" -nic none &
  qemu=$!
  local shown=0
  while kill -0 $qemu 2>/dev/null; do
    if grep -q 'PULL THE PLUG' "$log" 2>/dev/null; then kill -9 $qemu; break; fi
    if [ $(($(date +%s) - started)) -ge "$limit" ]; then
      echo "error: $1 took longer than $limit s" >&2; tail -n 50 "$log" >&2; exit 1
    fi
    shown=$(report "$log" $shown)
    command sleep 0.5
  done
  wait $qemu 2>/dev/null || true
  qemu=
  report "$log" $shown >/dev/null
}
# report LOG LINES: shows results that came since LINES, tells how many lines there are.
report() {
  [ -e "$1" ] || { echo 0; return; }
  local lines; lines=$(wc -l <"$1")
  tail -n +$(($2 + 1)) "$1" | head -n $((lines - $2)) | tr -d '\r' | grep -E '^(FAIL|PASS|SKIP|note:|vm:)' >&2 || true
  echo "$lines"
}

expected=${#wanted[@]}
if [ "$(printf '%s\n' "${wanted[@]}" | grep -cvxE 'reboot|power_cut')" != 0 ]; then boot tests; fi
if wants reboot; then boot reboot; boot rebooted; fi
if wants power_cut; then boot cut; boot survived; fi
passed=$(cat "$work"/*.log | tr -d '\r' | grep -c '^PASS' || true)
failed=$(cat "$work"/*.log | tr -d '\r' | grep -c '^FAIL' || true)
if [ "$failed" != 0 ] || [ "$passed" != "$expected" ]; then
  for log in "$work"/*.log; do tr -d '\r' <"$log" | tail -n 150 >&2; done
  echo "vm: $passed of $expected passed, $failed failed" >&2
  exit 1
fi
echo "$passed passed, 0 failed"
