"""The benchmark's registry part: pull and unpack from docker-registry on loopback, beside the peers.

The image is `load`'s; its blobs are in the page cache for all. `tools` is bench.py itself.
"""

import subprocess

import images
from load import Disk

NAME = "127.0.0.1:5000/bench/big:1"


def section(tools):
    """Medians, and our peak memory."""
    disk, work = Disk(tools), tools.WORK
    tools.sh(["ip", "link", "set", "lo", "up"])
    config = work / "registry.yml"
    config.write_text("version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: "
                      f"{disk.at}/registry}}}}\nhttp: {{addr: 127.0.0.1:5000}}\n")
    server = subprocess.Popen(["docker-registry", "serve", str(config)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    tools.sh(["curl", "-s", "-o", "/dev/null", "--retry", "50", "--retry-connrefused", "--retry-delay", "1",
              "http://127.0.0.1:5000/v2/"])
    for packer in ("gzip", "zstd"):
        suffix = "" if packer == "gzip" else "-zstd"
        archive = images.big_image(tools.CACHE / f"big30{suffix}.oci.tar", packer=packer)
        # Not by skopeo, which sends the gzip layers that it remembers in place of the zstd ones.
        layout = disk.at / "layout-to-push"
        layout.mkdir()
        tools.sh(["tar", "-xf", str(archive), "-C", str(layout)])
        disk.podvisor("copy", "-q", "--dest-tls-verify=false", f"oci:{layout}", NAME + suffix)
        disk.wipe(layout)
        cases = {"podvisor pull": (lambda: disk.wipe("pv"),
                                   lambda: disk.podvisor("pull", "-q", "--tls-verify=false", NAME + suffix)),
                 "podman pull": podman(tools, disk, NAME + suffix)}
        if packer == "gzip":
            cases["skopeo + umoci"] = umoci(tools, disk)
        title = f"pull + unpack from loopback, 500 MB, 30,000 files, {packer}, fresh ext4, median of 5"
        tools.table(title, *tools.alternate(cases, 5), "s", 1, "podvisor pull")
    disk.wipe("pv")
    peak = tools.sh([str(tools.CACHE / "peak"), str(tools.BINARIES / "podvisor"), "--root", str(disk.at / "pv"),
                     "--state", str(disk.at / "pv/run"), "pull", "-q", "--tls-verify=false", NAME])
    print(f"  peak memory of podvisor pull {int(peak.split()[-1]) / 1024:10.1f} MiB  (target: under 48)")
    server.kill()
    server.wait()
    tools.podman_reset(disk.podman)
    disk.close()


def podman(tools, disk, name):
    """podman's pull into its own store."""
    def prepare():
        tools.podman_reset(disk.podman)
        disk.wipe("podman", "podman-run")
    return (prepare, lambda: tools.sh([*disk.podman, "pull", "-q", "--tls-verify=false", name]))


def umoci(tools, disk):
    """skopeo into a layout, umoci into a folder."""
    def run():
        tools.sh(["skopeo", "copy", "-q", "--src-tls-verify=false", f"docker://{NAME}", f"oci:{disk.at}/layout:big"])
        tools.sh(["umoci", "unpack", "--image", f"{disk.at}/layout:big", str(disk.at / "unpacked")])
    return (lambda: disk.wipe("layout", "unpacked"), run)
