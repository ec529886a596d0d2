#!/usr/bin/env bash
# Names, networks and published ports work as users of Docker Compose expect, and networks are isolated.
source "$(dirname "$(readlink -f "$0")")/lib.sh"
tiny_image
ln -s busybox "$work/tiny/bin/cp"; cp "$bin/probe" "$work/tiny/bin/probe"; touch "$work/tiny/inside-the-container"; compose image import "$work/tiny" tiny >/dev/null

cat >compose.yaml <<'YAML'
services:
  web:
    image: tiny
    command: ["sh", "-c", "hostname >/data/index.html; exec httpd -f -p 80 -h /data"]
    ports: ["18110:80", "127.0.0.1:18111:80"]
    networks: {front: {aliases: [www]}, back: {}}
  client: {image: tiny, command: [sleep, "1000"], networks: [front], extra_hosts: ["fixed:10.9.8.7"]}
  other: {image: tiny, command: [sleep, "1000"], networks: [elsewhere]}
  inner: {image: tiny, command: [sleep, "1000"], networks: [back]}
  echo:
    image: tiny
    command: [probe, udp-echo, "5353"]
    ports: ["18112:5353/udp"]
    networks: [front]
  alone: {image: tiny, command: [sleep, "1000"], network_mode: none}
  hosted: {image: tiny, command: [sleep, "1000"], network_mode: host}
  joined: {image: tiny, command: [sleep, "1000"], network_mode: "service:web"}
  placed:
    image: tiny
    command: [sleep, "1000"]
    networks: {fixed: {ipv4_address: 10.213.9.77}}
networks:
  front: {}
  back: {internal: true}
  elsewhere: {}
  fixed: {ipam: {config: [{subnet: 10.213.9.0/24}]}}
YAML
passes compose up -d
in_client() { compose exec -T client "$@"; }

it "answers service names, aliases and container names"
in_client nslookup web 127.0.0.11 >/dev/null
in_client nslookup www 127.0.0.11 >/dev/null
in_client nslookup "$project-web-1" 127.0.0.11 >/dev/null
web_ip=$(in_client nslookup web 127.0.0.11 | awk '/^Address/ {a=$NF} END {print a}')
contains "$(in_client wget -qO- http://web/)" "$(compose exec -T web hostname)"
contains "$(in_client cat /etc/hosts)" "10.9.8.7"

it "gives all replicas for one name"
passes compose up -d --scale web=1 --scale other=1
passes compose up -d --no-recreate --scale echo=1
cat >scale.yaml <<'YAML'
services:
  pool: {image: tiny, command: [sleep, "1000"], networks: [front], scale: 3}
networks: {front: {}}
YAML
passes compose -f compose.yaml -f scale.yaml up -d pool
equals "$(in_client nslookup -type=a pool 127.0.0.11 | awk '/^Address/ && !/127.0.0.11/' | wc -l)" 3

it "isolates networks from each other"
fails 1 compose exec -T other nslookup web 127.0.0.11
fails 1 compose exec -T other sh -c "nc -w 2 $web_ip 80 </dev/null"

it "gives internal networks no way out"
lacks "$(compose exec -T inner ip route)" default

it "publishes TCP on IPv4, IPv6 and loopback"
host=$(compose exec -T web hostname)
equals "$(curl -s --max-time 3 http://127.0.0.1:18110/)" "$host"
equals "$(curl -s --max-time 3 http://127.0.0.1:18111/)" "$host"
if [ -e /proc/net/if_inet6 ]; then equals "$(curl -s --max-time 3 'http://[::1]:18110/')" "$host"; fi
equals "$(compose port web 80)" "0.0.0.0:18110"

it "publishes UDP"
udp() {
  python3 - "$1" <<'PYTHON'
import socket, sys
link = socket.socket(socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET, socket.SOCK_DGRAM)
link.settimeout(2)
link.sendto(b"ping", (sys.argv[1], 18112))
sys.exit(link.recv(100) != b"ping")
PYTHON
}
eventually 10 udp 127.0.0.1
if [ -e /proc/net/if_inet6 ]; then eventually 10 udp ::1; fi

it "honours network_mode none, host and service"
equals "$(compose exec -T alone ip -o link | wc -l)" 1
equals "$(compose exec -T hosted cat /proc/net/dev | wc -l)" "$(wc -l </proc/net/dev)"
equals "$(compose exec -T joined wget -qO- http://127.0.0.1/)" "$host"

it "keeps static addresses"
contains "$(compose exec -T placed ip -o addr)" "10.213.9.77/24"

it "lets a second project use the same names and ports of its own"
mkdir -p ../second; projects+=("${project}b")
cat >../second/compose.yaml <<'YAML'
services:
  web: {image: tiny, command: ["sh", "-c", "echo second >/data/index.html; exec httpd -f -p 80 -h /data"], ports: ["18113:80"]}
YAML
passes compose -p "${project}b" -f ../second/compose.yaml up -d
equals "$(curl -s --max-time 3 http://127.0.0.1:18113/)" second
equals "$(curl -s --max-time 3 http://127.0.0.1:18110/)" "$host"
passes compose -p "${project}b" -f ../second/compose.yaml down
equals "$(curl -s --max-time 3 http://127.0.0.1:18110/)" "$host"
