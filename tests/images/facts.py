#!/usr/bin/env python3
"""Everything of a tree that a program could see, a line a file, but for the time of the root itself.

usage: facts.py FOLDER [seconds]    seconds: whole seconds only and no attributes, as docker exports
"""

import hashlib
import os
import stat
import sys

KINDS = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFCHR: "c", stat.S_IFBLK: "b"}
root, short = os.fsencode(sys.argv[1]), len(sys.argv) > 2
lines, links = [], {}


def attributes(path):
    """What an image may set."""
    kept = [k for k in os.listxattr(path, follow_symlinks=False) if k.startswith(("user.", "security.cap", "system.posix"))]
    return " ".join(f"{k}={os.getxattr(path, k, follow_symlinks=False).hex()}" for k in sorted(kept))


def line(path):
    found = os.lstat(path)
    name = os.path.relpath(path, root)
    kind = stat.S_IFMT(found.st_mode)
    facts = [KINDS[kind], oct(stat.S_IMODE(found.st_mode))[2:], found.st_uid, found.st_gid]
    if name != b".":
        facts.append(found.st_mtime_ns // 10**9 if short else found.st_mtime_ns)
    if kind == stat.S_IFREG:
        links.setdefault((found.st_dev, found.st_ino), []).append(name)
        data = open(path, "rb").read()
        facts += [found.st_size, found.st_nlink, hashlib.sha256(data).hexdigest()[:16]]
    elif kind == stat.S_IFLNK:
        facts.append(os.readlink(path))
    elif kind in (stat.S_IFCHR, stat.S_IFBLK):
        facts.append(f"{os.major(found.st_rdev)}:{os.minor(found.st_rdev)}")
    if not short and kind != stat.S_IFLNK:
        facts.append(attributes(path))
    lines.append(f"{name} {' '.join(map(str, facts))}")


line(root)
for folder, folders, files in os.walk(root):
    for name in folders + files:
        line(os.path.join(folder, name))
lines += [f"alike: {sorted(names)}" for names in links.values() if len(names) > 1]
print("\n".join(sorted(lines)))
