#!/usr/bin/env python3
"""Times images: push, pull into an empty store, pull of what is there, save, load, and a build of 11 RUN steps over 20 000 files,
cold and from cache. Memory of the pull is the worker's peak.

usage: images.py BIN_DIR --registry HOST:PORT [--runs N] [--files 20000] [--megabytes 396]
Needs root and a registry that takes pushes without a login. BENCH_DIR on tmpfs keeps the file system's state out of the figures.
Beside ours the build is timed with a peer when BENCH_PEER is set (for example 'docker'); its base image must be there as bench-base.
Prints the commands to stderr and one JSON line a measurement: medians of --runs.
"""
import argparse, json, os, random, shlex, shutil, statistics, subprocess, sys, tempfile, time

parser = argparse.ArgumentParser()
parser.add_argument("bin")
parser.add_argument("--registry", required=True)
parser.add_argument("--runs", type=int, default=3)
parser.add_argument("--files", type=int, default=20000)
parser.add_argument("--megabytes", type=int, default=396)
args = parser.parse_args()

work = tempfile.mkdtemp(prefix="compose-bench-", dir=os.environ.get("BENCH_DIR", "/tmp"))
program = os.path.abspath(args.bin) + "/compose-image"
peer = shlex.split(os.environ.get("BENCH_PEER", ""))
commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
image = args.registry + "/bench/files:1"


def environment(store):
    return dict(os.environ, COMPOSE_STATE_DIR=f"{work}/{store}", COMPOSE_RUN_DIR=f"{work}/{store}-run", DOCKER_CONFIG=work)


def run(store, *words, stdin=None):
    """Seconds and peak memory in MiB of one command."""
    print("+", "compose-image", *words, file=sys.stderr)
    start = time.perf_counter()
    child = subprocess.Popen([program, *words], env=environment(store), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    if stdin:
        child.stdin.write(stdin.encode())
    child.stdin.close()
    _, status, usage = os.wait4(child.pid, 0)
    took = time.perf_counter() - start
    if status:
        sys.exit(f"{' '.join(words)}: status {status}")
    return took, usage.ru_maxrss / 1024


def tree(root, files, megabytes, seed):
    """Files in folders of 100, compressible to about a third, sizes spread as in real images."""
    rng = random.Random(seed)
    words = [rng.randbytes(12) for _ in range(1500)]  # within the 32 KiB that deflate looks back
    mean = megabytes * 1_000_000 // files
    for number in range(files):
        folder = f"{root}/d{number // 100:04}"
        if number % 100 == 0:
            os.makedirs(folder)
        size = min(int(rng.expovariate(1 / mean)), 4_000_000)
        with open(f"{folder}/f{number}", "wb") as file:
            file.write(b"".join(rng.choices(words, k=size // 12 + 1))[:size])


def report(name, seconds, **more):
    print(json.dumps({"bench": name, "median_s": round(statistics.median(seconds), 3), "runs": [round(one, 3) for one in seconds], "commit": commit, **more}), flush=True)


def fresh(store):
    shutil.rmtree(f"{work}/{store}", ignore_errors=True)


def transfers():
    root = work + "/root"
    tree(root, args.files, args.megabytes, 1)
    run("made", "import", root, image)
    shutil.rmtree(root)
    push, again, pull, known, save, load, peak = [], [], [], [], [], [], []
    push.append(run("made", "push", image)[0])
    for _ in range(args.runs):
        fresh("pulled")
        took, memory = run("pulled", "pull", "--progress", "quiet", image)
        pull.append(took)
        peak.append(memory)
        known.append(run("pulled", "pull", "--progress", "quiet", image)[0])
        again.append(run("pulled", "push", "--progress", "quiet", image)[0])
        save.append(run("pulled", "save", "-o", work + "/image.tar", image)[0])
        fresh("loaded")
        load.append(run("loaded", "load", "--progress", "quiet", "-i", work + "/image.tar")[0])
    report("push of an imported image", push)
    report("pull into an empty store", pull, peak_mib=round(max(peak), 1))
    report("pull of what is there", known)
    report("push of a pulled image", again)
    report("save", save)
    report("load into an empty store", load)


def builds():
    context = work + "/context"
    tree(context + "/files", args.files, 80, 2)
    base = work + "/base"
    os.makedirs(base + "/bin")
    shutil.copy("/bin/busybox", base + "/bin/busybox")
    os.symlink("busybox", base + "/bin/sh")
    os.symlink("busybox", base + "/bin/echo")
    steps = "".join(f"RUN echo {n} > /step{n}\n" for n in range(11))
    with open(context + "/Dockerfile", "w") as file:
        file.write("FROM bench-base\nCOPY files /files\n" + steps)
    request = json.dumps({"context": context, "tags": ["bench-built"], "progress": "quiet"})
    cold, cached, peer_cold, peer_cached = [], [], [], []
    for _ in range(args.runs):
        fresh("built")
        run("built", "import", base, "bench-base")
        cold.append(run("built", "build", stdin=request)[0])
        cached.append(run("built", "build", stdin=request)[0])
        if peer:
            for extra, times in ((["--no-cache"], peer_cold), ([], peer_cached)):
                words = [*peer, "build", "-q", *extra, "-t", "bench-built", context]
                print("+", *words, file=sys.stderr)
                start = time.perf_counter()
                subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                times.append(time.perf_counter() - start)
    report("build cold, 11 RUN and COPY of all files", cold)
    report("build cached", cached)
    if peer:
        report("peer: build cold", peer_cold)
        report("peer: build cached", peer_cached)


try:
    transfers()
    builds()
finally:
    shutil.rmtree(work, ignore_errors=True)
