#!/usr/bin/env python3
"""keep.py CONTROL TREE: adds to the corpus TREE what covers most for its bytes, by libFuzzer's
control file of a merge that read TREE, too. The corpus grows to 48 KiB and 60 files at most."""
import pathlib
import shutil
import sys

BYTES_MAX, FILES_MAX = 48 << 10, 60
# What a file costs beside its bytes.
FILE_BYTES = 32

control, tree = sys.argv[1], pathlib.Path(sys.argv[2])
lines = pathlib.Path(control).read_text().splitlines()
paths = [pathlib.Path(line) for line in lines[2 : 2 + int(lines[0])]]
features = {}
for line in lines[2 + len(paths) :]:
    word, number, *found = line.split()
    if word == "FT":
        features[paths[int(number)]] = set(found)

ours = [path for path in tree.iterdir() if path.is_file()]
size, count = sum(path.stat().st_size for path in ours), len(ours)
covered = set().union(*(found for path, found in features.items() if path.parent == tree))
left = {path: found for path, found in features.items() if path.parent != tree}
while left and count < FILES_MAX:
    left = {path: found - covered for path, found in left.items() if found - covered}
    fitting = [path for path in left if size + path.stat().st_size <= BYTES_MAX]
    if not fitting:
        break
    best = max(fitting, key=lambda path: len(left[path]) / (path.stat().st_size + FILE_BYTES))
    shutil.copy(best, tree / best.name[:12])
    covered |= left.pop(best)
    size, count = size + best.stat().st_size, count + 1
print(f"{tree.name}: {count} files, {size} bytes, {len(covered)} features")
