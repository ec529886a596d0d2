#!/usr/bin/env python3
"""Times whole stacks: `up -d`, no-op `up -d`, `scale`, `down`, the chain of healthy dependencies, CLI start, memory.

usage: stack.py BIN_DIR [--runs N] [--only WORD] [--services 1,10,50]
Beside ours it runs a peer when BENCH_PEER is set, for example
  BENCH_PEER='docker compose' BENCH_PEER_IMPORT='docker import - tiny'
Runs are interleaved (ours, peer, ours, peer, …); medians and ratios are what to read. Prints one JSON line a measurement.
"""
import argparse, json, os, shlex, shutil, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("--runs", type=int, default=5)
parser.add_argument("--only", default="")
parser.add_argument("--services", default="1,10,50")
args = parser.parse_args()

# BENCH_DIR on tmpfs keeps a file system's own state out of the figures: an ext4 without journal is several times slower for a
# minute after a large deletion.
work = tempfile.mkdtemp(prefix="compose-bench-", dir=os.environ.get("BENCH_DIR", "/tmp"))
ours_env = dict(os.environ, COMPOSE_STATE_DIR=work + "/state", COMPOSE_RUN_DIR=work + "/run", NO_COLOR="1")
ours = [os.path.abspath(args.bin) + "/compose"]
peer = shlex.split(os.environ.get("BENCH_PEER", ""))
commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()


def run(who, *words, check=True):
    env = ours_env if who is ours else dict(os.environ)
    start = time.perf_counter()
    done = subprocess.run([*who, *words], env=env, capture_output=True, text=True)
    took = time.perf_counter() - start
    if check and done.returncode:
        sys.exit(f"{' '.join([*who, *words])}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return took, done


def image():
    root = work + "/tiny"
    os.makedirs(root + "/bin")
    os.makedirs(root + "/etc")
    shutil.copy("/bin/busybox", root + "/bin/busybox")
    for applet in ("sh", "sleep", "true", "cat", "echo"):
        os.symlink("busybox", f"{root}/bin/{applet}")
    run(ours, "image", "import", root, "tiny")
    importer = os.environ.get("BENCH_PEER_IMPORT")
    if importer:
        subprocess.run(f"tar -C {root} -c . | {importer}", shell=True, check=True, stdout=subprocess.DEVNULL)


def write(name, text):
    folder = f"{work}/{name}"
    os.makedirs(folder, exist_ok=True)
    path = folder + "/compose.yaml"
    with open(path, "w") as file:
        file.write(text)
    return path


def stack(count):
    lines = ["services:"]
    for i in range(count):
        lines += [f"  s{i}:", "    image: tiny", "    command: [sleep, '100000']", "    init: false", "    stop_grace_period: 0s"]
    return "\n".join(lines) + "\n"


def chain(length):
    lines = ["services:"]
    for i in range(length):
        lines += [f"  s{i}:", "    image: tiny", "    command: [sleep, '100000']", "    stop_grace_period: 0s",
                  "    healthcheck: {test: [CMD, 'true'], interval: 1s, start_interval: 100ms, start_period: 30s}"]
        if i:
            lines.append(f"    depends_on: {{s{i - 1}: {{condition: service_healthy}}}}")
    return "\n".join(lines) + "\n"


def pss_kib():
    """Memory of all our processes that belong to this run."""
    total, names = 0, []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            words = open(f"/proc/{pid}/cmdline", "rb").read().split(b"\0")
            if not os.path.basename(words[0]).startswith(b"compose-"):
                continue
            if work.encode() not in open(f"/proc/{pid}/environ", "rb").read():
                continue
            for line in open(f"/proc/{pid}/smaps_rollup"):
                if line.startswith("Pss:"):
                    total += int(line.split()[1])
                    names.append(words[0].decode())
        except OSError:
            pass
    return total, names


def report(what, samples, **more):
    row = {"what": what, "commit": commit, "runs": len(next(iter(samples.values())))}
    for who, values in samples.items():
        row[who + "_ms"] = round(statistics.median(values) * 1000, 1)
    if len(samples) == 2:
        row["ratio"] = round(row["peer_ms"] / row["ours_ms"], 1)
    print(json.dumps({**row, **more}), flush=True)


def sides():
    return [("ours", ours)] + ([("peer", peer)] if peer else [])


def measure_stack(name, text):
    path = write(name, text)
    steps = {"up": ("up", "-d"), "no-op up": ("up", "-d"), "ps": ("ps",), "down": ("down", "-t", "0")}
    samples = {step: {who: [] for who, _ in sides()} for step in steps}
    memory = 0
    for _ in range(args.runs):
        for who, command in sides():
            for step, words in steps.items():
                took, _ = run(command, "-p", "bench-" + name, "-f", path, *words)
                samples[step][who].append(took)
                if who == "ours" and step == "no-op up":
                    memory = pss_kib()[0]
                    # Not a wait for an event: what is asked is how much a project holds that has been left alone for a second.
                    time.sleep(1)
                    resting = pss_kib()[0]
    for step in steps:
        report(f"{name}: {step}", samples[step])
    print(json.dumps({"what": f"{name}: memory of all our processes", "pss_kib": memory, "a_second_later": resting}), flush=True)


def measure_scale():
    path = write("scale", stack(1))
    samples = {who: [] for who, _ in sides()}
    for _ in range(args.runs):
        for who, command in sides():
            run(command, "-p", "bench-scale", "-f", path, "up", "-d")
            samples[who].append(run(command, "-p", "bench-scale", "-f", path, "up", "-d", "--scale", "s0=20")[0])
            run(command, "-p", "bench-scale", "-f", path, "down", "-t", "0")
    report("scale 1 to 20", samples)


def measure_cli():
    path = write("cli", stack(3))
    for words in (("version",), ("-f", path, "config"), ("-f", path, "ps")):
        samples = {who: [] for who, _ in sides()}
        for _ in range(args.runs * 3):
            for who, command in sides():
                samples[who].append(run(command, *words)[0])
        report("cli: " + words[-1], samples)
    for who, command in sides():
        run(command, "-p", "bench-cli", "-f", path, "up", "-d")
    for words in (("exec", "-T", "s0", "true"), ("run", "--rm", "-T", "s1", "true")):
        samples = {who: [] for who, _ in sides()}
        for _ in range(args.runs):
            for who, command in sides():
                samples[who].append(run(command, "-p", "bench-cli", "-f", path, *words)[0])
        report("cli: " + words[0], samples)
    for who, command in sides():
        run(command, "-p", "bench-cli", "-f", path, "down", "-t", "0")
    big = ["services:"]
    for i in range(500):
        big += [f"  svc{i}:", "    image: tiny", "    command: [sleep, '1']", "    environment:"]
        big += [f"      VARIABLE_{j}: value-{j}" for j in range(10)]
        big += ["    labels:", "      a.b: c", "    ports:", f"      - '{10000 + i}:80'"]
    path = write("big", "\n".join(big) + "\n")
    samples = {who: [] for who, _ in sides()}
    for _ in range(args.runs):
        for who, command in sides():
            samples[who].append(run(command, "-f", path, "config", "-q")[0])
    report("cli: config of 500 services", samples)


try:
    print(f"# reproduce: {shlex.join(sys.argv)}", file=sys.stderr)
    image()
    for count in map(int, args.services.split(",")):
        if not args.only or args.only in f"stack{count}":
            measure_stack(f"stack{count}", stack(count))
    if not args.only or args.only in "chain10":
        measure_stack("chain10", chain(10))
    if not args.only or args.only in "scale":
        measure_scale()
    if not args.only or args.only in "cli":
        measure_cli()
finally:
    for name in [f"stack{c}" for c in args.services.split(",")] + ["chain10", "scale", "cli"]:
        path = f"{work}/{name}/compose.yaml"
        if os.path.exists(path):
            for _, command in sides():
                run(command, "-p", "bench-" + name, "-f", path, "down", "-v", "-t", "0", check=False)
    shutil.rmtree(work, ignore_errors=True)
