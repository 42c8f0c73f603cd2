"""Measures podvisor beside its peers and prints one table a section.

Runs inside a scope (own mount, pid, network and cgroup world). Every figure is a median of runs that
alternate between the programs, so that a slow minute of the machine hits all of them; the ratio is
what counts. A peer that is not installed or fails is named with its last words and left out.

The newest peers live in a root of their own (peers.sh) with a pure cgroup v2 view: crun refuses
hybrid hosts. `run` is measured there, all programs alike, and once more on the host's own cgroups.
"""

import atexit
import functools
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import load
import pull

BINARIES, CACHE = Path(sys.argv[1]), Path(sys.argv[2])
SECTIONS = sys.argv[3:] or ["run", "memory", "exec", "cycle", "crowd", "many", "image", "pull", "pods", "overhead"]
HERE = Path(__file__).resolve().parent
WORK = Path(os.environ["PODVISOR_TEST_SCOPE"])
OURS = BINARIES / "podvisor-oci"

FLOOR = "floor (C)"


def sh(command, **options):
    """Runs a command line to its end; raises with its output when it fails."""
    done = subprocess.run(command, shell=isinstance(command, str), text=True, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if done.returncode:
        raise RuntimeError(f"{command}: exit {done.returncode}: {done.stdout.strip()[-400:]}")
    return done.stdout


def alternate(cases, runs, warmup=1):
    """Median seconds of each named case; a case is (prepare, run) and `run` alone is timed."""
    times, broken = {name: [] for name in cases}, {}
    for turn in range(-warmup, runs):
        for name, (prepare, run) in cases.items():
            if name in broken:
                continue
            try:
                prepare()
                began = time.monotonic()
                run()
                if turn >= 0:
                    times[name].append(time.monotonic() - began)
            except (RuntimeError, OSError) as error:
                broken[name] = str(error)
    return {n: statistics.median(t) for n, t in times.items() if t and n not in broken}, broken


def table(title, medians, broken, unit, scale, base):
    """Prints a section: each median and its ratio to the base."""
    print(f"\n{title}\n" + "-" * len(title))
    for name, value in medians.items():
        ratio = f"{value / medians[base]:8.2f} x {base}" if base in medians else ""
        print(f"  {name:28} {value * scale:10.2f} {unit} {ratio}")
    for name, why in broken.items():
        # The program's own words, not the command line before them.
        words = [line for line in why.splitlines()[1:] if "rror" in line] or [why]
        print(f"  {name:28} not measured: {words[-1][:150]}")


def bundle():
    """A bundle with runc's default config that runs /bin/true; one config for every runtime."""
    folder = WORK / "bundle"
    if not folder.exists():
        folder.mkdir()
        sh([HERE.parent.parent / "rootfs/busybox/recipe.sh", f"{folder}/rootfs/"])
        sh(["runc", "spec"], cwd=folder)
        config = json.loads((folder / "config.json").read_text())
        config["process"].update(args=["/bin/true"], terminal=False)
        config["process"].pop("rlimits", None)  # raising them needs CAP_SYS_RESOURCE
        (folder / "config.json").write_text(json.dumps(config))
    return folder


@functools.cache
def inside():
    """Words that run a command in the newest peers' root, which holds WORK and both our folders."""
    root = CACHE / "peers"
    for folder in [WORK, BINARIES, CACHE]:
        (root / str(folder)[1:]).mkdir(parents=True, exist_ok=True)
    keeper = subprocess.Popen([HERE / "inside.sh", root, WORK, BINARIES, CACHE, "--", "sleep", "100000"],
                              stdin=subprocess.DEVNULL)
    atexit.register(keeper.kill)
    while not Path(f"/proc/{keeper.pid}/cmdline").read_bytes().startswith(b"sleep"):
        if keeper.poll() is not None:
            raise RuntimeError("the peers' root cannot be entered")
        time.sleep(0.01)
    return ["nsenter", "-t", str(keeper.pid), "-m", "-w"]


def programs(with_crun):
    """Each runtime that is there and the words before its verb."""
    found = [("podvisor-oci", OURS), ("runc", "runc")] + ([("crun", "crun")] if with_crun else [])
    youki = CACHE / "youki/bin/youki"
    found += [("youki", youki)] if youki.exists() else []
    return {name: f"{program} --root {WORK}/state-{name}" for name, program in found}


def runtimes(with_crun):
    """Command line of `run` for each runtime that is there."""
    folder = bundle()
    lines = {FLOOR: [str(CACHE / "floor"), str(folder / "rootfs"), "/bin/true"]}
    for name, program in programs(with_crun).items():
        lines[name] = f"{program} run -b {folder} bench-{name}".split()
    return lines


def hyperfine(prefix, lines, runs):
    """Median seconds by hyperfine, without a shell between; three rounds, for a quiet one. And what
    fails at times: such a peer is named and left out, podvisor-oci's failure is the benchmark's."""
    out = WORK / "hyperfine.json"
    words = [" ".join(line) for line in lines.values()]
    rounds, failed = [], dict.fromkeys(lines, 0)
    for _ in range(3):
        sh([*prefix, "hyperfine", "-N", "-i", "-w", "5", "-r", str(runs), "--export-json", str(out), *words])
        results = json.loads(out.read_text())["results"]
        rounds.append([r["median"] for r in results])
        for name, result in zip(lines, results):
            failed[name] += sum(code != 0 for code in result["exit_codes"])
    broken = {n: f"{n}: failed {count} of {3 * runs} times" for n, count in failed.items() if count}
    if "podvisor-oci" in broken:
        raise RuntimeError(broken["podvisor-oci"])
    return {n: statistics.median(r[i] for r in rounds) for i, n in enumerate(lines) if n not in broken}, broken


def section_run():
    """`run` of true to its end."""
    versions = sh([*inside(), "sh", "-c", "crun --version | head -n 1; runc --version | head -n 1"])
    print("\npeers:", ", ".join(versions.split("\n")[:2]))
    table("run of /bin/true, default config, cgroup v2, median of 3 x 100",
          *hyperfine(inside(), runtimes(True), 100), "ms", 1e3, FLOOR)
    table("run of /bin/true, default config, the host's own cgroups, median of 3 x 50",
          *hyperfine([], runtimes(False), 50), "ms", 1e3, FLOOR)


def section_memory():
    """Peak resident memory of the runtime over a `run`."""
    peaks = {}
    for name, line in runtimes(True).items():
        samples = [int(sh([*inside(), str(CACHE / "peak"), *line]).split()[-1]) for _ in range(5)]
        peaks[name] = statistics.median(samples) / 1024
    table("peak resident memory of `run`", peaks, {}, "MiB", 1, FLOOR)


def sleeping():
    """A second bundle, whose command sleeps."""
    folder = WORK / "sleeping"
    if not folder.exists():
        folder.mkdir()
        config = json.loads((bundle() / "config.json").read_text())
        config["process"]["args"] = ["/bin/sleep", "100000"]
        config["root"]["path"] = str(bundle() / "rootfs")
        (folder / "config.json").write_text(json.dumps(config))
    return folder


def section_exec():
    """`exec` of true in a container that runs; nsenter joins the same namespaces and nothing else."""
    lines = {}
    for name, program in programs(True).items():
        sh([*inside(), "sh", "-c", f"exec {program} run -d -b {sleeping()} exec-{name} >/dev/null 2>&1"])
        lines[name] = f"{program} exec exec-{name} /bin/true".split()
    state = json.loads(sh([*inside(), *programs(True)["podvisor-oci"].split(), "state", "exec-podvisor-oci"]))
    lines = {"nsenter": f"nsenter -t {state['pid']} -a /bin/true".split(), **lines}
    table("exec of /bin/true, cgroup v2, median of 3 x 50", *hyperfine(inside(), lines, 50), "ms", 1e3, "nsenter")
    for name, program in programs(True).items():
        sh([*inside(), *program.split(), "delete", "--force", f"exec-{name}"])


def cycle(program, name, first, count, at_once=1):
    """Seconds a container of `count` times create, start, delete --force."""
    folder = bundle() / "rootfs" if name == FLOOR else sleeping()
    name = name.split()[0]
    one = (f"{program} create -b {folder} {name}-@ >/dev/null 2>&1 </dev/null && {program} start {name}-@ "
           f"&& {program} delete --force {name}-@")
    began = time.monotonic()
    sh([*inside(), "sh", "-c", f"seq {first} {first + count - 1} | busybox xargs -P {at_once} -I @ sh -c '{one}'"])
    return (time.monotonic() - began) / count


def section_cycle():
    """create + start + delete, one after another."""
    found = {FLOOR: CACHE / "floor", **programs(True)}
    cases = {n: (lambda: None, lambda p=p, n=n: cycle(p, n, 0, 20)) for n, p in found.items()}
    medians, broken = alternate(cases, 5)
    per = {name: value / 20 for name, value in medians.items()}
    table("create + start + delete --force, a container (three programs and a shell), median of 5 x 20", per,
          broken, "ms", 1e3, FLOOR)


def section_many():
    """1,000 containers in sequence, first against last hundred, and 8 at a time."""
    for at_once in [1, 8]:
        costs, growth, broken = {}, {}, {}
        for name, program in programs(True).items():
            try:
                hundreds = [cycle(program, name, 100 * i, 100, at_once) for i in range(10)]
            except RuntimeError as error:
                broken[name] = str(error)
                continue
            costs[name], growth[name] = statistics.mean(hundreds), hundreds[-1] / hundreds[0]
        table(f"1,000 containers, {at_once} at a time, a container", costs, broken, "ms", 1e3, "podvisor-oci")
        table("the same: the last hundred beside the first", growth, {}, "x", 1, None)


def section_crowd():
    """`run` on a host with 1,000 mounts, and with 500 live containers of podvisor-oci."""
    mounts = WORK / "mounts"
    mounts.mkdir(exist_ok=True)
    loop = f"for i in $(seq 1000); do mkdir -p {mounts}/$i; mount -t tmpfs none {mounts}/$i; done"
    sh([*inside(), "sh", "-c", loop])
    table("run of /bin/true with 1,000 mounts on the host, median of 3 x 20",
          *hyperfine(inside(), runtimes(True), 20), "ms", 1e3, FLOOR)
    sh([*inside(), "sh", "-c", f"for i in $(seq 1000); do umount {mounts}/$i; done"])
    ours = programs(True)["podvisor-oci"]
    live = f"{ours} run -d -b {sleeping()} live-$i >/dev/null 2>&1 </dev/null || exit 1"
    sh([*inside(), "sh", "-c", f"for i in $(seq 500); do {live}; done"])
    table("run of /bin/true with 500 live containers, median of 3 x 20",
          *hyperfine(inside(), runtimes(True), 20), "ms", 1e3, FLOOR)
    sh([*inside(), "sh", "-c", f"for i in $(seq 500); do {ours} delete --force live-$i || exit 1; done"])


def loop_disk(size=6 << 30):
    """A fresh ext4 on a loop device, mounted in this scope alone."""
    disk = CACHE / "disk.img"
    target = WORK / "disk"
    target.mkdir(exist_ok=True)
    with open(disk, "wb") as file:
        file.truncate(size)
    sh(["mkfs.ext4", "-q", "-F", str(disk)])
    sh(["mount", "-o", "loop", str(disk), str(target)])
    return target


def section_image():
    """Load and unpack of an image of about 500 MB and 30,000 files."""
    load.section(sys.modules[__name__])


def section_scale():
    """How that grows, to 5 GB and 300,000 files."""
    load.section_scale(sys.modules[__name__])


def section_pull():
    """The same image from a registry on loopback."""
    pull.section(sys.modules[__name__])


PODMAN = load.PODMAN


def podman_reset(podman):
    """Unmounts what podman keeps mounted below its root."""
    subprocess.run([*podman, "pod", "rm", "-af", "-t", "0"], capture_output=True, check=False)
    subprocess.run([*podman, "umount", "-a"], capture_output=True, check=False)


def manifest(pods, containers):
    """`pods` pods of `containers` containers that sleep."""
    documents = []
    for number in range(pods):
        members = [{"name": f"c{i}", "image": "localhost/bench:latest", "command": ["/bin/sleep", "1000"]}
                   for i in range(containers)]
        documents.append({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"bench-{number}"},
                          "spec": {"terminationGracePeriodSeconds": 0, "containers": members}})
    path = WORK / f"pods-{pods}x{containers}.yaml"
    path.write_text("\n---\n".join(json.dumps(d) for d in documents))
    return path


class Podvisor:
    """A supervisor of its own for the pod sections."""

    def __init__(self, name):
        self.base = WORK / name
        self.options = [str(BINARIES / "podvisor"), "--root", str(self.base / "root"), "--state",
                        str(self.base / "run"), "--log-dir", str(self.base / "log")]
        self.base.mkdir()
        self("import", str(rootfs_tar()), "localhost/bench:latest")
        self("up", "-d", "-f", str(manifest(1, 1)))
        self("delete", "pod", "bench-0", "--grace-period", "0")

    def __call__(self, *words):
        return sh([*self.options, *words])

    def running(self):
        """The pods that run with every container ready."""
        pods = json.loads(self("get", "pods", "-o", "json"))
        ready = lambda p: all(c.get("ready") for c in p["status"].get("containerStatuses", [])) and \
            p["status"].get("phase") == "Running"
        return [p for p in pods if ready(p)]

    def start(self, path, count):
        """Applies a manifest and returns when all its pods are ready."""
        self("apply", "-f", str(path))
        while len(self.running()) < count:
            time.sleep(0.005)

    def clear(self):
        """Deletes every pod and waits until none is left."""
        for pod in json.loads(self("get", "pods", "-o", "json")):
            self("delete", "pod", pod["metadata"]["name"], "--grace-period", "0", "--wait=false")
        while json.loads(self("get", "pods", "-o", "json")):
            time.sleep(0.01)


def rootfs_tar():
    """The busybox root file system as a tar."""
    path = WORK / "busybox.tar"
    if not path.exists():
        sh([str(HERE.parent.parent / "rootfs/busybox/recipe.sh"), str(path)])
    return path


def section_pods():
    """Start of a pod of three containers, and of 50 pods, until all run."""
    ours = Podvisor("pods")
    podman = [*inside(), "env", f"CONTAINERS_CONF={WORK}/containers.conf", "podman", *PODMAN,
              "--root", str(WORK / "podman"), "--runroot", "/run/podman"]
    peer_ready = prepare_podman(podman)
    for pods, containers, runs in [(1, 3, 5), (50, 1, 3)]:
        path = manifest(pods, containers)
        cases = {"podvisor apply": (ours.clear, lambda p=path, n=pods: ours.start(p, n))}
        if peer_ready is None:
            cases["podman kube play"] = (lambda: podman_reset(podman),
                                         lambda p=path: sh([*podman, "kube", "play", "-q", str(p)]))
        medians, broken = alternate(cases, runs, warmup=1 if pods == 1 else 0)
        if peer_ready:
            broken["podman kube play"] = peer_ready
        table(f"start of {pods} pod(s) of {containers} container(s), median of {runs}", medians, broken, "ms",
              1e3, "podvisor apply")
    ours.clear()
    podman_reset(podman)
    ours("down")


def prepare_podman(podman):
    """Gives podman the image and a config that works without CAP_SYS_RESOURCE; None or why not."""
    config = WORK / "containers.conf"
    # No rlimit can be raised without CAP_SYS_RESOURCE, and this view of v2 has no controllers.
    config.write_text('[containers]\ndefault_ulimits = []\npids_limit = 0\n'
                      '[engine]\ncgroup_manager = "cgroupfs"\n')
    try:
        sh([*podman, "import", "-q", str(rootfs_tar()), "localhost/bench:latest"])
        sh([*podman, "kube", "play", "-q", str(manifest(1, 1))])
        podman_reset(podman)
    except (RuntimeError, OSError) as error:
        return str(error)
    return None


def pss_kib(pid):
    """Proportional set size of a process, KiB."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1])
    return 0


def section_overhead():
    """Memory of everything that is not the workload, with 50 pods."""
    ours = Podvisor("overhead")
    ours.start(manifest(50, 1), 50)
    monitors, supervisors = [], []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            words = (entry / "cmdline").read_bytes().split(b"\0") if (entry / "cmdline").exists() else []
            if b"monitor" in words[1:2]:
                monitors.append(pss_kib(entry.name))
            elif b"serve" in words:
                supervisors.append(pss_kib(entry.name))
    print("\nmemory of what is not the workload, 50 pods (PSS)\n" + "-" * 49)
    count = max(len(monitors), 1)
    print(f"  monitors, a pod              {sum(monitors) / count / 1024:10.3f} MiB  ({len(monitors)} found)")
    print(f"  supervisor, whole            {sum(supervisors) / 1024:10.3f} MiB")
    print(f"  a pod, all told              {(sum(monitors) + sum(supervisors)) / count / 1024:10.3f} MiB  (target: under 0.6)")
    ours.clear()
    ours("down")


# In a cgroup of its own below the scope's: that one can then hand controllers down, and crun does not
# try to for two seconds.
leaf = next(path for path in [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")] if path.exists()) / "bench"
leaf.mkdir(exist_ok=True)
(leaf / "cgroup.procs").write_text(str(os.getpid()))
for section in SECTIONS:
    globals()[f"section_{section}"]()
