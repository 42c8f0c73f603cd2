"""Writes src/oci-cli/order.ld: which functions a container's life calls, in the order of the first call.

usage: scope order.py PODVISOR-OCI STEPS OUTPUT     in a scope; STEPS is steps.c, compiled

The program is run step by step, verb by verb. Rust's names are cut before their hash, which differs
from clone to clone; what has the same name comes along. Of the C library whole members are taken,
with all variants of one for other processors.
"""

import bisect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

PROGRAM, STEPS, OUTPUT = [Path(word).resolve() for word in sys.argv[1:4]]
ROOT = Path(__file__).resolve().parent.parent.parent
WORK = Path(os.environ["PODVISOR_TEST_SCOPE"])
HEAD = """/* Made by `make order` (tests/bench/order.py): what a container's life calls, beside one another. */
SECTIONS {
  .text.first : {
"""


def symbols():
    """Addresses and names of the program's functions, sorted."""
    listed = subprocess.check_output(["nm", "-n", PROGRAM], text=True)
    found = re.findall(r"^([0-9a-f]+) [tTwWi] ([\w.$]+)$", listed, re.M)
    return [int(address, 16) for address, _ in found], [name for _, name in found]


def traced(table, *words):
    """Names of the functions that a command line of the program calls, in order."""
    out = WORK / "steps"
    subprocess.run([STEPS, out, PROGRAM, "--root", WORK / "state", *words], cwd=WORK / "bundle", check=True,
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    addresses, names = table
    places = [bisect.bisect(addresses, int(line, 16)) - 1 for line in out.read_text().split()]
    return dict.fromkeys(names[place] for place in places if place >= 0)


def bundle(command):
    """The bundle's config.json, whose process is `command`."""
    folder = WORK / "bundle"
    (folder / "config.json").unlink(missing_ok=True)
    subprocess.run([PROGRAM, "spec"], cwd=folder, check=True)
    config = json.loads((folder / "config.json").read_text())
    config["process"].update(args=command, terminal=False)
    config["process"].pop("rlimits", None)
    (folder / "config.json").write_text(json.dumps(config))


def members():
    """Member of the C library's archive by symbol."""
    archive = subprocess.check_output(["gcc", "-print-file-name=libc.a"], text=True).strip()
    listed = subprocess.run(["nm", "-A", "--defined-only", archive], capture_output=True, text=True, check=False)
    found = re.findall(r"^[^:]*:(\S+\.o):\S* [tTwWiI] (\S+)$", listed.stdout, re.M)
    return {symbol: member for member, symbol in found}


def pattern(name, library):
    """Input sections of a function."""
    if name.startswith("_ZN"):
        return "*(.text." + re.sub(r"17h[0-9a-f]{16}E.*", "17h*", name).replace("$", "?") + ")"
    if name.startswith("_R"):
        return "*(.text." + re.sub(r"\.\d+$", "", name) + "*)"
    if name in library:
        member = re.sub(r"-(avx|evex|sse|erms)\S*\.o$", "-*.o", library[name])
        return f"*libc.a:{member}(.text .text.*)"
    return f"*(.text.{name})"


def main():
    """Every verb of a container's life, then those that look at it; on v2, as most hosts are."""
    subprocess.run("umount -R -l /sys/fs/cgroup; mount -t cgroup2 none /sys/fs/cgroup", shell=True, check=True)
    table = symbols()
    (WORK / "bundle").mkdir()
    subprocess.run([ROOT / "rootfs/busybox/recipe.sh", f"{WORK}/bundle/rootfs/"], check=True, stdout=subprocess.DEVNULL)
    bundle(["/bin/true"])
    names = traced(table, "run", "a")
    bundle(["/bin/sleep", "1000"])
    for words in [("create", "b"), ("start", "b"), ("exec", "b", "true"), ("state", "b"), ("kill", "b", "KILL"),
                  ("delete", "--force", "b")]:
        names |= traced(table, *words)
    library = members()
    patterns = dict.fromkeys(pattern(name, library) for name in names)
    lines = "".join(f"    {line}\n" for line in patterns)
    OUTPUT.write_text(HEAD + lines + "  }\n}\nINSERT BEFORE .text;\n")


main()
