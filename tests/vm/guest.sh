#!/bin/bash
# Runs inside the virtual machine, as a service of its systemd; stdout is the serial line, /mnt the folder run.sh prepared.
stage=$(sed -n 's/.*stage=\([a-z]*\).*/\1/p' /proc/cmdline)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin COMPOSE_REQUIRE_NS=1 COMPOSE_TEST_PATIENCE=15 COMPOSE_PROGRESS=plain HOME=/root
top=$(cat /mnt/place)
if [ ! -d "$top" ]; then mkdir -p "$top"; cp -r /mnt/. "$top"; fi
cd "$top" || exit 1
compose=$top/build/bin/compose
ip link set lo up
[ -e /etc/hosts ] || echo "127.0.0.1 localhost" >/etc/hosts
echo "vm: $(uname -r), $(stat -fc %T /sys/fs/cgroup), stage $stage"

# room NAME: every case of a test program, a process each as ctest does it.
room() {
  local bad=0 case escaped started=$SECONDS since code
  while read -r case; do
    escaped=$(printf %s "$case" | sed 's/[][\\,*]/\\&/g')
    since=$SECONDS code=0
    timeout 600 "build/bin/$1" "$escaped" >/tmp/out 2>&1 || code=$?
    if [ $code != 0 ]; then
      bad=1; echo "note: $1: $case: exit $code after $((SECONDS - since)) s"; cat /tmp/out
    fi
  done < <("build/bin/$1" --list-test-names-only)
  [ $bad = 0 ] && echo "PASS $1 ($((SECONDS - started)) s)" || echo "FAIL $1"
}
scenario() {
  local started=$SECONDS
  local script=tests/e2e/$1.sh
  [ -e "$script" ] || script=tests/vm/$1.sh
  if timeout 1800 "$script" >/tmp/out 2>&1; then echo "PASS $1 ($((SECONDS - started)) s)"
  else echo "FAIL $1"; cat /tmp/out; fi
}
stack() {
  mkdir -p /root/stack && cd /root/stack || exit 1
  mkdir -p tiny/bin tiny/etc; cp /bin/busybox tiny/bin/
  for a in sh sleep echo cat true; do ln -sf busybox tiny/bin/$a; done
  $compose image import tiny tiny >/dev/null
  cat >compose.yaml <<'YAML'
name: cut
services:
  steady: {image: tiny, restart: always, command: ["sh", "-c", "while true; do echo tick; sleep 0.05; done"], volumes: ["data:/data"]}
  quiet: {image: tiny, command: ["sleep", "100000"]}
volumes: {data: {}}
YAML
  $compose up -d 2>&1
  $compose exec -T steady sh -c 'echo kept >/data/kept'
  sync
}
problem() { echo "note: $*"; ok=; }

case $stage in
  tests)
    while read -r name; do
      case $name in
        unit_* | kernel_*) room "$name" ;;
        reboot | power_cut) ;;
        *) scenario "$name" ;;
      esac
    done <wanted
    systemctl poweroff ;;
  reboot)
    stack
    $compose system unit >/etc/systemd/system/compose.service
    systemctl enable compose.service 2>&1
    systemctl reboot ;;
  cut)
    stack
    # Churn while the power goes: state must never be found half-written.
    for i in $(seq 200); do
      $compose up -d --scale quiet=$((i % 5 + 1)) >/dev/null 2>&1
      [ "$i" = 10 ] && echo "PULL THE PLUG"
    done ;;
  rebooted | survived)
    cd /root/stack || exit 1
    ok=1
    if [ $stage = rebooted ]; then
      for _ in $(seq 300); do pgrep -f 'echo tick' >/dev/null && break; sleep 0.3; done
      pgrep -f 'echo tick' >/dev/null || problem "the unit did not bring steady back: $(systemctl status compose.service 2>&1 | tail -n 5)"
    fi
    $compose ps -a || problem "ps"
    # What restarts always is back after the first command that looks.
    for _ in $(seq 100); do $compose ps --services --status running | grep -qx steady && break; sleep 0.3; done
    $compose ps --services --status running | grep -qx steady || problem "steady did not come back"
    $compose ps --services --status running | grep -qx quiet && problem "quiet came back unasked"
    $compose up -d 2>&1 || problem "up"
    [ "$($compose exec -T steady cat /data/kept)" = kept ] || problem "volume lost"
    [ "$($compose ps -q | wc -l)" = 2 ] || { problem "wrong containers"; $compose ps -a; }
    $compose logs --tail 1 steady | grep -q tick || problem "no logs"
    $compose down -v 2>&1 || problem "down"
    for _ in $(seq 100); do pgrep compose-engine >/dev/null || break; sleep 0.2; done
    left=$(pgrep -a compose- ; find /sys/fs/cgroup/compose -mindepth 1 -type d; find /run/compose/projects -mindepth 1)
    [ -z "$left" ] || problem "left behind: $left"
    name=reboot; [ $stage = survived ] && name=power_cut
    [ -n "$ok" ] && echo "PASS $name" || echo "FAIL $name"
    systemctl poweroff ;;
  shell) # for people: every line written to the second serial line is run
    exec bash -i </dev/ttyS1 >/dev/ttyS1 2>&1 ;;
esac
