"""Makes the benchmark's image once: an OCI archive of three gzip layers, deterministic."""

import gzip
import hashlib
import io
import json
import random
import subprocess
import tarfile
from pathlib import Path

FILES, BYTES, LAYERS = 30_000, 500_000_000, 3


def pack(plain, packer):
    """A layer compressed, and its media type."""
    kind = f"application/vnd.oci.image.layer.v1.tar+{packer}"
    if packer == "gzip":
        return gzip.compress(plain, 6, mtime=0), kind
    return subprocess.run(["zstd", "-3", "-c"], input=plain, stdout=subprocess.PIPE, check=True).stdout, kind


def big_image(path: Path, packer="gzip", more=False, factor=1) -> Path:
    """The archive's path; made when it is not there yet (about 30 seconds). `more` adds a small layer."""
    if path.exists():
        return path
    seed = random.Random(7)
    # Text-like filler: compresses about as well as the contents of a distribution do.
    words = [bytes(seed.choices(b"abcdefghijklmnopqrstuvwxyz_/.-", k=seed.randint(2, 12))) for _ in range(4000)]
    filler = b" ".join(seed.choices(words, k=1_500_000))
    blobs, layers, diff_ids = {}, [], []
    # Layers of the same size however many files there are.
    count = max(1, round(LAYERS * factor))
    files = round(FILES * factor) // count
    for number in range(count + more):
        plain = layer(seed, number, filler, files if number < count else 100)
        packed, kind = pack(plain, packer)
        diff_ids.append("sha256:" + hashlib.sha256(plain).hexdigest())
        layers.append(descriptor(kind, packed, blobs))
    config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
              "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": descriptor("application/vnd.oci.image.config.v1+json", json.dumps(config).encode(), blobs),
                "layers": layers}
    entry = descriptor(manifest["mediaType"], json.dumps(manifest).encode(), blobs)
    entry["annotations"] = {"org.opencontainers.image.ref.name": "big:latest"}
    files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
             "index.json": json.dumps({"schemaVersion": 2, "manifests": [entry]}).encode(), **blobs}
    partial = path.with_suffix(".partial")
    with tarfile.open(partial, "w") as out:
        for name, data in files.items():
            add(out, name, data)
    partial.rename(path)
    return path


def layer(seed, number, filler, count):
    """One layer's tar: its share of the files, in folders of fifty."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for index in range(count):
            if index % 50 == 0:
                folder = tarfile.TarInfo(f"usr/share/l{number}/d{index // 50}")
                folder.type, folder.mode = tarfile.DIRTYPE, 0o755
                tar.addfile(folder)
            size = min(int(seed.paretovariate(1.3) * BYTES / FILES / 3.6), 4_000_000)
            start = seed.randrange(len(filler) - 4_000_000)
            add(tar, f"usr/share/l{number}/d{index // 50}/f{index}", filler[start:start + size])
    return out.getvalue()


def add(tar, name, data):
    """Adds a regular file."""
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(data), 0o644, 1_700_000_000
    tar.addfile(info, io.BytesIO(data))


def descriptor(kind, data, blobs):
    """Stores a blob and describes it."""
    digest = hashlib.sha256(data).hexdigest()
    blobs[f"blobs/sha256/{digest}"] = data
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data)}


def layers_of(archive: Path):
    """The archive's gzip layers as files beside it, for the tar floor."""
    folder = archive.with_suffix(".layers")
    if not folder.exists():
        folder.mkdir()
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
    found = [p for p in (folder / "blobs/sha256").iterdir() if p.read_bytes()[:2] in (b"\x1f\x8b", b"\x28\xb5")]
    return sorted(found)
