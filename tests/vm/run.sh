#!/bin/bash
# Boots Debian's kernel under QEMU's software emulation with podvisor as PID 1 on pure cgroup v2,
# runs a set of pods to completion under the eyes of observer.sh, and judges the console.
# usage: run.sh BINARIES CACHE        the console's text stays in CACHE/vm/console.log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")/vm
mkdir -p "$cache"
"$here/kernel.sh" "$cache/kernel"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The image, as an archive of a store: any tar of an OCI layout is an oci-archive.
"$here/../../rootfs/busybox/recipe.sh" "$work/busybox.tar"
"$binaries/podvisor" --root "$work/root" --state "$work/state" import "$work/busybox.tar" busybox:latest >/dev/null
mkdir -p "$work/add/vm"
tar -C "$work/root/store" -cf "$work/add/vm/busybox.oci.tar" .
install -m 755 "$here/observer.sh" "$work/add/vm/observer.sh"
cp "$here/pods.yaml" "$work/add/vm/pods.yaml"
"$here/../../rootfs/vm/recipe.sh" "$work/initramfs" "$binaries" "$cache"/kernel/lib/modules/* "$work/add" 2>/dev/null

console=$cache/console.log
timeout "${VM_TIMEOUT:-200}" qemu-system-x86_64 -accel tcg,thread=single -cpu Haswell-noTSX -m 1536 -smp 2 \
  -kernel "$cache/kernel/vmlinuz" -initrd "$work/initramfs" -nodefaults -nographic -serial stdio -no-reboot \
  -append "console=ttyS0 panic=-1 quiet no_timer_check podvisor.vmtest podvisor.images=/vm/busybox.oci.tar podvisor.pods=/vm/pods.yaml podvisor.exit=poweroff" \
  </dev/null 2>"$cache/qemu.log" | tr -d '\r' >"$console" || { tail -n 40 "$console"; echo "vm: did not power off in time"; exit 1; }

failed=0
judge() { # NAME PATTERN
  if grep -Eq "$2" "$console"; then echo "  ok    $1"; else echo "  FAIL  $1"; failed=1; fi
}
for finding in "podvisor is PID 1" "a member of phoenix runs" "the answer over localhost" \
  "the answer at the pod's address" "killed a member" "the member came back" "killed the supervisor" \
  "PID 1 restarted the supervisor" "the members were adopted" "made 1000 orphans" \
  "the orphans are reaped" "no zombie is left"; do
  judge "$finding" "observer: ok $finding"
done
judge "batch: Succeeded" '^\{.*"pod": *"batch".*"phase": *"Succeeded"'
judge "failing: Failed with 3" '^\{.*"pod": *"failing".*"phase": *"Failed".*3'
judge "greedy: OOMKilled" '^\{.*"pod": *"greedy".*"phase": *"Failed".*137.*OOMKilled'
judge "phoenix: Succeeded after one restart" '^\{.*"pod": *"phoenix".*"phase": *"Succeeded"'
[ "$(grep -c '^{"pod"' "$console")" = 4 ] && echo "  ok    one line a pod" || { echo "  FAIL  one line a pod"; failed=1; }
judge "powered off" 'Power down'
[ $failed = 0 ] || { tail -n 60 "$console"; echo "vm: failed, see $console"; exit 1; }
