#!/usr/bin/python3
"""Makes a docker-archive of one layer. usage: image.py ROOTFS.tar OUT.tar NAME"""

import hashlib
import io
import json
import sys
import tarfile

rootfs, out, name = sys.argv[1:]
with open(rootfs, "rb") as file:
    layer = file.read()
digest = hashlib.sha256(layer).hexdigest()
config = json.dumps({
    "architecture": "amd64",
    "os": "linux",
    "config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["sleep", "1000"]},
    "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
    "history": [],
}).encode()
config_name = hashlib.sha256(config).hexdigest() + ".json"
manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}.tar"]}])
with tarfile.open(out, "w") as archive:
    for path, data in [(config_name, config), (f"{digest}.tar", layer), ("manifest.json", manifest.encode())]:
        entry = tarfile.TarInfo(path)
        entry.size = len(data)
        archive.addfile(entry, io.BytesIO(data))
