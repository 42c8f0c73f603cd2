"""The benchmark's image part: load and unpack beside the peers, a second image that shares layers,
removal, peak memory, and how all of that grows.

Each case starts from an empty store on a fresh ext4 of a loop device. `tools` is bench.py itself.
"""

import os
import resource
import shutil
import subprocess
import time

import images

# PODVISOR_BENCH_RUNS for a quick look.
RUNS = int(os.environ.get("PODVISOR_BENCH_RUNS", "5"))
PODMAN = ["--cgroup-manager", "cgroupfs", "--events-backend", "file"]


class Disk:
    """A fresh ext4, and the programs that fill it."""

    def __init__(self, tools, size=12 << 30):
        self.tools, self.at = tools, tools.loop_disk(size)
        self.podman = ["podman", *PODMAN, "--root", str(self.at / "podman"), "--runroot", str(self.at / "podman-run")]

    def wipe(self, *names):
        """Removes folders and writes everything back: what another left dirty is not ours to flush."""
        for name in names:
            shutil.rmtree(self.at / name, ignore_errors=True)
        os.sync()

    def podvisor(self, *words):
        return self.tools.sh([str(self.tools.BINARIES / "podvisor"), "--root", str(self.at / "pv"),
                              "--state", str(self.at / "pv/run"), *map(str, words)])

    def load(self, archive):
        return (lambda: self.wipe("pv"), lambda: self.podvisor("load", archive))

    def podman_load(self, archive):
        def prepare():
            self.tools.podman_reset(self.podman)
            self.wipe("podman", "podman-run")
        return (prepare, lambda: self.tools.sh([*self.podman, "load", "-q", "-i", str(archive)]))

    def umoci(self, archive):
        def run():
            self.tools.sh(["skopeo", "copy", "-q", f"oci-archive:{archive}", f"oci:{self.at}/layout:big"])
            self.tools.sh(["umoci", "unpack", "--image", f"{self.at}/layout:big", str(self.at / "unpacked")])
        return (lambda: self.wipe("layout", "unpacked"), run)

    def containerd(self, archive):
        """ctr's import, which unpacks; a daemon of its own for each run."""
        socket, config = self.at / "containerd.sock", self.tools.WORK / "containerd.toml"
        config.write_text(f'version = 2\nroot = "{self.at}/ctr"\nstate = "{self.at}/ctr-state"\n'
                          f'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n[grpc]\naddress = "{socket}"\n')
        daemon = []

        def prepare():
            self.stop(daemon)
            self.wipe("ctr", "ctr-state")
            daemon.append(subprocess.Popen(["containerd", "-c", config], stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL))
            until = time.monotonic() + 20
            while subprocess.run(["ctr", "-a", socket, "version"], capture_output=True, check=False).returncode:
                if time.monotonic() > until:
                    raise RuntimeError("containerd does not answer")
                time.sleep(0.05)

        def run():
            self.tools.sh(["ctr", "-a", str(socket), "images", "import", "--base-name", "big", str(archive)])
        self.finish = lambda: self.stop(daemon)
        return (prepare, run)

    @staticmethod
    def stop(daemon):
        for process in daemon:
            process.terminate()
            process.wait()
        daemon.clear()

    def tar(self, archive, program):
        """The layers' files by tar alone, which verifies nothing."""
        return (lambda: [self.wipe("tar"), (self.at / "tar").mkdir(exist_ok=True)],
                lambda: [self.tools.sh(f"{program} <{layer} | tar -xC {self.at}/tar")
                         for layer in images.layers_of(archive)])

    def close(self):
        self.tools.sh(["umount", str(self.at)])
        (self.tools.CACHE / "disk.img").unlink()


def section(tools):
    """Everything of an image of 500 MB and 30,000 files."""
    archive = images.big_image(tools.CACHE / "big30.oci.tar")
    disk = Disk(tools)
    cases = {"podvisor load": disk.load(archive), "podman load": disk.podman_load(archive),
             "skopeo + umoci": disk.umoci(archive), "ctr import": disk.containerd(archive),
             "igzip | tar": disk.tar(archive, "igzip -dc"), "gzip | tar": disk.tar(archive, "gzip -dc")}
    # Ours ends with everything on the disk; the others leave that to the kernel.
    title = f"load + unpack, 500 MB, 30,000 files, {{}}, fresh ext4, median of {RUNS}"
    tools.table(title.format("gzip"), *tools.alternate(cases, RUNS), "s", 1, "podvisor load")
    disk.finish()
    zstd = images.big_image(tools.CACHE / "big30-zstd.oci.tar", packer="zstd")
    cases = {"podvisor load": disk.load(zstd), "podman load": disk.podman_load(zstd),
             "zstd | tar": disk.tar(zstd, "zstd -dc")}
    tools.table(title.format("zstd"), *tools.alternate(cases, RUNS), "s", 1, "podvisor load")
    again(tools, disk, archive)
    disk.close()


def again(tools, disk, archive):
    """A second image of the same layers and one more, its removal, and memory."""
    second = images.big_image(tools.CACHE / "big30-more.oci.tar", more=True)

    def both():
        disk.wipe("pv")
        disk.podvisor("load", archive)
        disk.podvisor("load", "--name", "second:1", second)
        os.sync()

    def tree():
        both()
        shutil.copytree(disk.at / "pv", disk.at / "copy", symlinks=True)
        os.sync()
    cases = {"second image, one more layer": (lambda: [disk.wipe("pv"), disk.podvisor("load", archive), os.sync()],
                                              lambda: disk.podvisor("load", "--name", "second:1", second)),
             "the same image again": (both, lambda: disk.podvisor("load", archive)),
             "podvisor image prune --all": (both, lambda: disk.podvisor("image", "prune", "--all")),
             "rm -rf of the same files": (tree, lambda: tools.sh(["rm", "-rf", str(disk.at / "copy")]))}
    tools.table("the same layers again, and removal", *tools.alternate(cases, min(RUNS, 3)), "s", 1, "rm -rf of the same files")
    disk.wipe("pv")
    peak = tools.sh([str(tools.CACHE / "peak"), str(tools.BINARIES / "podvisor"), "--root", str(disk.at / "pv"),
                     "load", "-q", str(archive)])
    print(f"  peak memory of load: {int(peak.split()[-1]) / 1024:.1f} MiB")


def section_scale(tools):
    """The same for a tenth, one and ten times the image: seconds for each 100 MB must not grow, and those
    of the processor less than those of the clock, which others on the machine change."""
    print("\nload + unpack + sync as the image grows, one run each after a first\n" + "-" * 66)
    for factor in [0.1, 1, 10]:
        archive = images.big_image(tools.CACHE / f"big-{factor}.oci.tar", factor=factor)
        disk = Disk(tools, 40 << 30)
        prepare, run = disk.load(archive)
        times = []
        for _ in range(2):
            prepare()
            began, used = time.monotonic(), processor()
            run()
            times.append((time.monotonic() - began, processor() - used))
        files, size = images.FILES * factor, images.BYTES * factor
        clock, used = times[-1]
        print(f"  {files:8.0f} files, {size / 1e6:6.0f} MB {clock:8.2f} s {clock / size * 1e8:8.3f} s a 100 MB, "
              f"processor {used:8.2f} s {used / size * 1e8:8.3f} s")
        disk.close()
        if factor == 10:
            archive.unlink()


def processor():
    """Seconds of the processor that the programs run so far have used."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
