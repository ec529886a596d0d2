#!/usr/bin/env python3
"""Starts a static `true` and an exec of it in a Docker-like bundle, beside crun and runc where they are installed.

usage: tests/bench/runtime.py BIN_DIR [RUNS]     (as root)
One JSON line a measurement: wall and CPU milliseconds a run (median of 5 interleaved rounds), CPU over the whole process tree, and
the runtime's own largest resident set. "floor" is tests/bench/runtime_floor.c: what the kernel alone costs; "floor with cgroups and
filter" is the same with the cgroups and the seccomp filter of the bundle.
What needs a compiler or headers is kept in BIN_DIR as bench-*, for machines without them.
"""
import json, os, resource, shutil, statistics, struct, subprocess, sys, tempfile, time

DEFAULT_CAPS = ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID",
                "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE"]


def make_bundle(folder, ours, args):
    """`spec` gives Docker's mounts, masks and devices; the rest of what Docker writes is added here."""
    root = os.path.join(folder, "rootfs")
    os.makedirs(root, exist_ok=True)
    source = os.path.join(folder, "true.c")
    with open(source, "w") as file:
        file.write("#include <unistd.h>\nint main(int c, char** v) { (void)v; if (c > 1) pause(); return 0; }\n")
    shutil.copy(compiled(ours, "true", source), os.path.join(root, "true"))
    config_file = os.path.join(folder, "config.json")
    if os.path.exists(config_file):
        os.unlink(config_file)
    subprocess.run([ours, "spec", "--bundle", folder], check=True)
    with open(config_file) as file:
        config = json.load(file)
    config["root"] = {"path": "rootfs"}
    process = config["process"]
    process.update(args=args, terminal=False, noNewPrivileges=False,
                   capabilities={name: DEFAULT_CAPS for name in ("bounding", "effective", "permitted")})
    config["linux"]["namespaces"] = [{"type": name} for name in ("mount", "network", "uts", "pid", "ipc")]
    config["linux"]["seccomp"] = {
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": [{"names": syscall_names(ours), "action": "SCMP_ACT_ALLOW"}]}
    with open(config_file, "w") as file:
        json.dump(config, file)


def compiled(ours, name, source):
    program = os.path.join(os.path.dirname(ours), "bench-" + name)
    if not os.path.exists(program):
        subprocess.run(["cc", "-O2", "-static", "-o", program, source], check=True)
    return program


def syscall_names(ours):
    """Some 300 names, as many as Docker's profile allows."""
    names = []
    kept = os.path.join(os.path.dirname(ours), "bench-syscalls.json")
    if os.path.exists(kept):
        with open(kept) as file:
            return json.load(file)
    with open("/usr/include/x86_64-linux-gnu/asm/unistd_64.h") as file:
        for line in file:
            if line.startswith("#define __NR_"):
                names.append(line.split()[1][len("__NR_"):])
    names = [name for name in names if name not in ("mount", "umount2", "bpf", "kexec_load", "reboot")]
    with open(kept, "w") as file:
        json.dump(names, file)
    return names


def full_floor(floor, folder, state):
    """The floor's command line with the filter that ours compiled for this bundle, and every cgroup hierarchy."""
    cache = os.path.join(state, ".cache/seccomp")
    with open(os.path.join(cache, os.listdir(cache)[0]), "rb") as file:
        text = file.read()
    key_size, instructions = struct.unpack("2I", text[:8])  # CacheHeader of runtime/linux/seccomp.cpp
    with open(os.path.join(folder, "filter"), "wb") as file:
        file.write(text[16 + key_size:16 + key_size + 8 * instructions])
    with open("/proc/self/mounts") as file:
        hierarchies = sorted({line.split()[1] for line in file if line.split()[2] in ("cgroup", "cgroup2")})
    return [floor, os.path.join(folder, "rootfs"), "/true", os.path.join(folder, "filter")] + hierarchies


def measure(command, runs):
    """(wall, cpu) milliseconds a run; `{}` in the command becomes a fresh id."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.monotonic()
    for number in range(runs):
        subprocess.run([word.replace("{}", "bench-%d-%d" % (os.getpid(), number)) for word in command], check=True)
    wall = time.monotonic() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return wall * 1000 / runs, cpu * 1000 / runs


def peak_kib(command, folder):
    """The runtime's own high-water mark while its container runs. (ru_maxrss would count the process it was forked from.)"""
    name = "peak-%d" % os.getpid()
    child = subprocess.Popen(command + ["run", "--bundle", folder, name])
    while b'"running"' not in subprocess.run(command + ["state", name], capture_output=True).stdout.replace(b" ", b""):
        time.sleep(0.02)
    with open("/proc/%d/status" % child.pid) as file:
        peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    subprocess.run(command + ["kill", name, "KILL"], check=True)
    child.wait()
    return peak


def main():
    ours = os.path.join(os.path.abspath(sys.argv[1]), "compose-runtime")
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 50
    # The state folders on tmpfs, as /run is.
    with tempfile.TemporaryDirectory(prefix="bench-runtime-") as folder, tempfile.TemporaryDirectory(dir="/dev/shm") as states:
        runtimes = {"compose-runtime": [ours, "--root", states + "/ours"]}
        for name in ("crun", "runc"):
            if shutil.which(name):
                runtimes[name] = [name, "--root", states + "/" + name]
        results = {}
        make_bundle(folder, ours, ["/true"])
        here = os.path.dirname(os.path.abspath(__file__))
        floor = compiled(ours, "floor", os.path.join(here, "runtime_floor.c"))
        measure(runtimes["compose-runtime"] + ["run", "--bundle", folder, "{}"], 1)
        full = full_floor(floor, folder, states + "/ours")
        for _ in range(5):
            results.setdefault(("run", "floor"), []).append(measure([floor, os.path.join(folder, "rootfs"), "/true"], runs))
            results.setdefault(("run", "floor with cgroups and filter"), []).append(measure(full, runs))
            for name, command in runtimes.items():
                results.setdefault(("run", name), []).append(measure(command + ["run", "--bundle", folder, "{}"], runs))
        make_bundle(folder, ours, ["/true", "wait"])
        for name, command in runtimes.items():
            print(json.dumps({"bench": "runtime", "what": "peak memory of run", "runtime": name, "kib": peak_kib(command, folder)}))
            subprocess.run(command + ["run", "--detach", "--bundle", folder, "held-" + name], check=True)
        try:
            for _ in range(5):
                for name, command in runtimes.items():
                    results.setdefault(("exec", name), []).append(measure(command + ["exec", "held-" + name, "/true"], runs))
        finally:
            for name, command in runtimes.items():
                subprocess.run(command + ["delete", "--force", "held-" + name], check=True)
        for (what, name), rounds in results.items():
            print(json.dumps({"bench": "runtime", "what": what, "runtime": name, "runs": runs,
                              "wall_ms": round(statistics.median(wall for wall, _ in rounds), 2),
                              "cpu_ms": round(statistics.median(cpu for _, cpu in rounds), 2)}))


main()
