#!/bin/bash
# Boots Debian's kernel under QEMU's software emulation with Debian's systemd and judges trial.sh.
# usage: run.sh BINARIES CACHE        the console's text stays in CACHE/vm/systemd.log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")/vm
mkdir -p "$cache"
"$here/../kernel.sh" "$cache/kernel"
"$here/root.sh" "$cache/systemd"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/trial/bundle"
"$here/../../../rootfs/busybox/recipe.sh" "$work/trial/bundle/rootfs/"
(cd "$work/trial" && "$binaries/podvisor-oci" spec)
python3 - "$work/trial/config.json" <<'END'
import json
import sys

with open(sys.argv[1]) as file:
    config = json.load(file)
config["process"].update({"terminal": False, "args": ["sh", "-c", "@COMMAND@"]})
config["root"]["readonly"] = False
config["linux"].update({"cgroupsPath": "@PATH@", "resources": "@RESOURCES@"})
text = json.dumps(config).replace('"@RESOURCES@"', "@RESOURCES@")
with open(sys.argv[1], "w") as file:
    file.write(text)
END
cp "$here/trial.sh" "$work/trial/"
mkdir -p "$work/usr/bin" "$work/etc/systemd/system"
install -s "$binaries/podvisor-oci" "$work/usr/bin/"
cp "$here"/trial.{service,target} "$work/etc/systemd/system/"
ln -s trial.target "$work/etc/systemd/system/default.target"
ln -s usr/lib/systemd/systemd "$work/init"
{ (cd "$cache/systemd" && find . | cpio --quiet -o -H newc); (cd "$work" && find . | cpio --quiet -o -H newc); } >"$work.cpio"
trap 'rm -rf "$work" "$work.cpio"' EXIT

console=$cache/systemd.log
timeout "${VM_TIMEOUT:-240}" qemu-system-x86_64 -accel tcg,thread=single -cpu Haswell-noTSX -m 2048 -smp 2 \
  -kernel "$cache/kernel/vmlinuz" -initrd "$work.cpio" -nodefaults -nographic -serial stdio -no-reboot \
  -append "console=ttyS0 panic=-1 quiet no_timer_check rdinit=/init systemd.show_status=false systemd.unified_cgroup_hierarchy=1" \
  </dev/null 2>"$cache/systemd-qemu.log" | tr -d '\r' >"$console" || { tail -n 40 "$console"; echo "vm: systemd did not end in time"; exit 1; }
sed -n 's/^ok /  ok    /p' "$console"
if grep -q '^FAIL ' "$console" || ! grep -qx done "$console"; then
  grep -A 20 '^FAIL ' "$console" || tail -n 40 "$console"
  echo "vm: failed, see $console"
  exit 1
fi
