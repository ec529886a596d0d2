#!/usr/bin/env python3
"""Times `compose config`: 500 services in 10 000 lines, and a file of one service. usage: config.py BIN_DIR [--runs N]

Prints one JSON line a measurement: user and system time of the process (a busy machine changes those least) and the most memory
it held. BENCH_PEER='docker compose' runs a peer beside ours. Budgets: 40 ms and 15 MiB; 4 ms.
"""
import argparse, json, os, shlex, statistics, subprocess, sys, tempfile

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("--runs", type=int, default=20)
args = parser.parse_args()
peer = shlex.split(os.environ.get("BENCH_PEER", ""))
commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


def large():
    lines = ["name: large", "services:"]
    for i in range(500):
        lines += [f"  svc{i}:", f"    image: registry.example.com/team/app{i}:1.{i}", f'    command: ["run", "--id", "{i}"]',
                  "    environment:", f'      ID: "{i}"', "      LEVEL: ${LEVEL:-info}", f"      URL: http://svc{(i + 1) % 500}:8080/",
                  "    ports:", f'      - "{10000 + i}:8080"', "    volumes:", f"      - data{i % 50}:/data", "      - ./conf:/etc/app:ro",
                  "    networks: [front, back]", "    healthcheck:", "      test: [CMD, curl, -f, http://localhost:8080/]",
                  "      interval: 10s", "    labels:", f"      team: t{i % 7}", "      tier: web"]
        if i:
            lines.append(f"    depends_on: [svc{i - 1}]")
    lines += ["networks:", "  front: {}", "  back: {}", "volumes:"] + [f"  data{i}: {{}}" for i in range(50)]
    return "\n".join(lines) + "\n"


def measure(command, folder):
    # A process counts its parent's memory at the fork as its own: GNU time is a small parent, Python a large one.
    peak = os.path.join(folder, "peak")
    small = ["/usr/bin/time", "-o", peak, "-f", "%M"] if os.path.exists("/usr/bin/time") else []
    times, memory = [], []
    for _ in range(args.runs):
        child = subprocess.Popen([*small, *command, "config"], cwd=folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if status:
            sys.exit(f"{' '.join(command)} config: failed in {folder}")
        times.append((usage.ru_utime + usage.ru_stime) * 1000)
        memory.append((int(open(peak).read()) if small else usage.ru_maxrss) / 1024)
    return statistics.median(times), statistics.median(memory)


with tempfile.TemporaryDirectory(prefix="compose-bench-") as work:
    for name, text in (("500 services, 10 000 lines", large()), ("one service", "services:\n  web:\n    image: nginx\n    ports: [\"80:80\"]\n")):
        folder = os.path.join(work, name.replace(" ", "-").replace(",", ""))
        os.makedirs(folder)
        with open(folder + "/compose.yaml", "w") as file:
            file.write(text)
        for who, command in (("ours", [os.path.abspath(args.bin) + "/compose"]), ("peer", peer)):
            if not command:
                continue
            cpu, rss = measure(command, folder)
            print(json.dumps({"bench": "config", "input": name, "who": who, "cpu_ms": round(cpu, 1), "memory_mib": round(rss, 1),
                              "runs": args.runs, "command": " ".join([*command, "config"]), "commit": commit}), flush=True)
