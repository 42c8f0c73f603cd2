"""Makes an OCI layout. usage: image.py FOLDER TAG LAYERS BYTES [PLATFORM...]
Each layer is one gzip'd tar with a file of BYTES that do not compress; with several platforms an index."""
import gzip, hashlib, io, json, os, random, sys, tarfile

folder, tag, layers, size = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
platforms = sys.argv[5:] or ["linux/amd64"]
os.makedirs(f"{folder}/blobs/sha256", exist_ok=True)


def blob(data, kind, **more):
    hexed = hashlib.sha256(data).hexdigest()
    with open(f"{folder}/blobs/sha256/{hexed}", "wb") as out:
        out.write(data)
    return dict(mediaType=kind, digest=f"sha256:{hexed}", size=len(data), **more)


def layer(number, platform):
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for name, data in ((f"file{number}", random.Random(number).randbytes(size)), ("platform", platform.encode())):
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        end = tar.offset
    # Two blocks of zeros end it, as Go writes it: zstd:chunked writers drop what follows them.
    plain = raw.getvalue()[: end + 1024]
    packed = gzip.compress(plain, 1, mtime=0)
    return blob(packed, "application/vnd.oci.image.layer.v1.tar+gzip"), "sha256:" + hashlib.sha256(plain).hexdigest()


manifests = []
for platform in platforms:
    made = [layer(n, platform) for n in range(layers)]
    os_name, architecture, *variant = platform.split("/")
    config = {"architecture": architecture, "os": os_name, "config": {},
              "rootfs": {"type": "layers", "diff_ids": [d for _, d in made]}}
    config = blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json")
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": config, "layers": [l for l, _ in made]}
    where = {"os": os_name, "architecture": architecture, **({"variant": variant[0]} if variant else {})}
    manifests.append(blob(json.dumps(manifest).encode(), manifest["mediaType"], platform=where))
top = manifests[0]
if len(manifests) > 1:
    kind = "application/vnd.oci.image.index.v1+json"
    top = blob(json.dumps({"schemaVersion": 2, "mediaType": kind, "manifests": manifests}).encode(), kind)
top["annotations"] = {"org.opencontainers.image.ref.name": tag}
with open(f"{folder}/index.json", "w") as out:
    json.dump({"schemaVersion": 2, "manifests": [top]}, out)
with open(f"{folder}/oci-layout", "w") as out:
    out.write('{"imageLayoutVersion":"1.0.0"}')
print(top["digest"])
