#!/usr/bin/env python3
"""The suites that runc's, crun's and the specification's authors test runtimes by, on podvisor-oci
and on the peer: a table, and what the peer passes and podvisor-oci does not.

usage: judge.py ROOT SCOPE PODVISOR-OCI OUT [SUITE...]
ROOT is root.sh's, SCOPE runs a command in a scope of its own, OUT gets what each run said. Fails
when podvisor-oci does not pass a test that the peer passes and `known` does not tell why."""

import pathlib
import re
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PEERS = {"runc": "/usr/sbin/runc", "crun": "/usr/bin/crun"}
OURS = "/judged/runc"  # runc's tests look for its name in what it says
# Suite, peer, and the cgroups: the host's, or cgroup2 alone, which crun wants.
RUNS = [("runc", "runc", "host"), ("runtime-tools", "runc", "host"), ("crun", "crun", "v2"), ("crun", None, "host")]
LINE = re.compile(r"(not )?ok \d+[ -]*(.*)")


def results(text):
    """Each test's result: ok, skip or fail. Of runtime-tools each program is one test."""
    found, program, states = {}, None, {}
    for line in text.replace("\r", "").splitlines():
        if line.startswith("== "):
            program = line[3:]
        elif line.startswith("ended ") and program:
            told = states.pop(program, [])
            bad = line != "ended 0" or "fail" in told
            found[program.split("/")[-1].removesuffix(".t")] = "fail" if bad else "ok"
        elif match := LINE.match(line):
            name, _, remark = match[2].partition("#")
            skip, may_fail = (word in remark.lower() for word in ("skip", "todo"))
            state = "skip" if skip else "fail" if match[1] and not may_fail else "ok"
            if program and program.startswith("validation/"):
                states.setdefault(program, []).append(state)
            else:
                found[name.strip()] = state
    return found


def run(root, scope, suite, runtime, view, out):
    inside = ["env", f"PODVISOR_CGROUPS={view}", HERE.parent / "bench/inside.sh", root]
    command = [scope, *(["--v2"] if view == "v2" else []), *inside, "--", "/suite.sh", suite, runtime]
    with open(out, "w+b") as said:
        subprocess.run(["timeout", "-k", "30", "2400", *map(str, command)], stdout=said, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    return results(out.read_text(errors="replace"))


def count(found):
    return "/".join(str(sum(state == wanted for state in found.values())) for wanted in ("ok", "skip", "fail"))


def main():
    root, scope, program, out = (pathlib.Path(argument) for argument in sys.argv[1:5])
    wanted = sys.argv[5:] or [suite for suite, _, _ in RUNS]
    known = {}
    for line in (HERE / "known").read_text().splitlines():
        if line and not line.startswith("#"):
            suite, name, why = (part.strip() for part in line.split("|"))
            known[suite, name] = why
    out.mkdir(parents=True, exist_ok=True)
    (root / OURS[1:]).parent.mkdir(exist_ok=True)
    shutil.copy(program, root / OURS[1:])
    new, peers = [], {}
    print(f"{'suite, ok/skip/fail':<34}{'podvisor-oci':>16}{'the peer':>16}")
    for suite, peer, view in [entry for entry in RUNS if entry[0] in wanted]:
        ours = run(root, scope, suite, OURS, view, out / f"{suite}-{view}-podvisor-oci")
        if peer:
            peers[suite] = run(root, scope, suite, PEERS[peer], view, out / f"{suite}-{view}-{peer}")
        theirs = peers[suite]
        print(f"{suite + ', cgroups: ' + view:<34}{count(ours):>16}{count(theirs) + ' ' + peer if peer else '':>16}", flush=True)
        for name, state in theirs.items():
            if state == "ok" and ours.get(name, "fail") == "fail":
                why = known.get((suite, name))
                print(f"  {peer or 'crun on cgroup2'} passes {name!r}: {why or 'NOT EXPLAINED'}")
                new += [] if why else [(suite, name)]
        if not ours:
            new.append((suite, "it said nothing"))
    sys.exit(1 if new else 0)


main()
