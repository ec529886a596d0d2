#!/bin/bash
# Runs inside the virtual machine, started by systemd; stdout is the serial line.
stage=$(sed -n 's/.*stage=\([a-z]*\).*/\1/p' /proc/cmdline)
export PATH=/usr/sbin:/usr/bin:/sbin:/bin COMPOSE_REQUIRE_NS=1 HOME=/root
cd /opt/compose
ip link set lo up
echo "vm: $(uname -r), $(stat -fc %T /sys/fs/cgroup), stage $stage"
case $stage in
  scenarios)
    while read -r scenario; do
      if tests/e2e/$scenario.sh >/tmp/out 2>&1; then echo "PASS $scenario"; else echo "FAIL $scenario"; cat /tmp/out; fi
    done <scenarios
    systemctl poweroff ;;
  cut)
    mkdir -p /root/stack && cd /root/stack
    mkdir -p tiny/bin tiny/etc; cp /bin/busybox tiny/bin/
    for a in sh sleep echo cat true; do ln -sf busybox tiny/bin/$a; done
    /opt/compose/build/bin/compose image import tiny tiny >/dev/null
    cat >compose.yaml <<'YAML'
name: cut
services:
  steady: {image: tiny, restart: always, command: ["sh", "-c", "while true; do echo tick; sleep 0.05; done"], volumes: ["data:/data"]}
  quiet: {image: tiny, command: ["sleep", "100000"]}
volumes: {data: {}}
YAML
    /opt/compose/build/bin/compose up -d 2>&1
    /opt/compose/build/bin/compose exec -T steady sh -c 'echo kept >/data/kept'
    sync
    # Churn while the power goes: state must never be found half-written.
    for i in $(seq 200); do
      /opt/compose/build/bin/compose up -d --scale quiet=$((i % 5 + 1)) >/dev/null 2>&1
      [ $i = 10 ] && echo "PULL THE PLUG"
    done ;;
  survived)
    cd /root/stack
    compose=/opt/compose/build/bin/compose
    ok=1
    $compose ps -a || ok=
    $compose up -d 2>&1 || ok=
    [ "$($compose exec -T steady cat /data/kept)" = kept ] || { echo "note: volume lost"; ok=; }
    [ "$($compose ps -q | wc -l)" = 2 ] || { echo "note: wrong containers"; $compose ps -a; ok=; }
    $compose logs --tail 1 steady | grep -q tick || { echo "note: no logs"; ok=; }
    $compose down -v 2>&1 || ok=
    [ -n "$ok" ] && echo "PASS power cut" || echo "FAIL power cut"
    systemctl poweroff ;;
esac
