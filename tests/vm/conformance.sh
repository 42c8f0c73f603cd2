#!/bin/bash
# Boots Debian's kernel under QEMU's software emulation on pure cgroup v2 and runs conformance cases
# there on podvisor-oci: those about v2, and a spread of the others. A root of this host's own
# programs and libraries is enough for their scripts.
# usage: conformance.sh BINARIES CACHE [WORDS OF CASES...]
#        the console's text stays in CACHE/vm/conformance.log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")/vm
shift 2
[ $# -gt 0 ] || set -- "v2:" "a listed device" "a masked folder is" "a user namespace with" "offsets" \
  "kill --all" "pause and resume" "delete removes" "preserved descriptors come" "by EQ" "option rro" \
  "two createRuntime" "exec has the container" "tmpcopyup keeps" "update with nonsense"
mkdir -p "$cache"
"$here/kernel.sh" "$cache"
harness=$(cd "$here" && cargo test -p oci-cli --test conformance --no-run --message-format=json 2>/dev/null |
  sed -n 's|.*"executable":"\([^"]*/conformance-[^"]*\)".*|\1|p' | tail -n 1)
[ -x "$harness" ] || { echo "vm: the conformance harness was not built"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
root=$work/tree/sysroot
mkdir -p "$work/tree/bin" "$root"/{usr/bin,usr/sbin,usr/lib,etc,proc,sys,dev,run,tmp,root,var/lib,conformance}
for link in bin sbin lib lib64; do ln -s "usr/$link" "$root/$link"; done
mkdir -p "$root/usr/lib64"
cp /bin/busybox "$work/tree/bin/busybox"

# A program with the libraries that it is linked with.
take() {
  local program library
  program=$(type -P "$1") || return 0
  cp -L "$program" "$root/usr/bin/$1"
  # A static program has none.
  for library in $(ldd "$program" 2>/dev/null | grep -o '/[^ ]*' || true); do
    [ -e "$root$library" ] || install -D "$(realpath "$library")" "$root$library"
  done
}
for program in sh env timeout unshare mount umount grep sed awk find sort comm cut head tail wc cat ls \
  mkdir rm rmdir touch chmod chown ln sleep id stat readlink tr mv cp seq ip diff pidof kill ps script \
  ionice setsid hostname sha256sum mkfifo date xargs basename dirname test true false printf expr ldd; do
  take "$program"
done
cp /bin/busybox "$root/usr/bin/busybox"
cp "$binaries/podvisor-oci" "$root/usr/bin/"
cp "$harness" "$root/conformance/harness"
cp "$here"/../conformance/*.case "$root/conformance/"
printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
printf '%s\n' "$@" >"$root/conformance/words"

# The container's root is changed by pivot_root, which a first root file system does not allow.
cat >"$work/tree/init" <<'INIT'
#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /new
$b mount -t tmpfs -o mode=755 tmpfs /new
$b cp -a /sysroot/. /new/
exec $b switch_root /new /conformance/start
INIT
cat >"$root/conformance/start" <<'START'
#!/bin/sh
export PATH=/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /tmp
ip link set lo up
exec >/dev/console 2>&1 </dev/null
(IFS='
'; PODVISOR_ALONE=1 PODVISOR_BIN=/usr/bin PODVISOR_CASES=/conformance /conformance/harness $(cat /conformance/words))
echo "conformance ended with $?"
busybox poweroff -f
START
chmod 755 "$work/tree/init" "$root/conformance/start"
(cd "$work/tree" && find . | cpio --quiet -o -H newc) >"$work/initramfs"

console=$cache/conformance.log
timeout "${VM_TIMEOUT:-360}" qemu-system-x86_64 -accel tcg,thread=multi -cpu Haswell-noTSX -m 1536 -smp 2 \
  -kernel "$cache/vmlinuz" -initrd "$work/initramfs" -nodefaults -nographic -serial stdio -no-reboot \
  -append "console=ttyS0 panic=-1 quiet cgroup_no_v1=all" \
  </dev/null 2>"$cache/qemu.log" | tr -d '\r' >"$console" || { tail -n 20 "$console"; echo "vm: did not power off in time"; exit 1; }
grep -E '^podvisor-oci +[0-9]+ of' "$console" | sed 's/^/  /' || true
grep -q '^conformance ended with 0' "$console" && exit 0
sed -n '/^podvisor-oci  *[0-9]* of/,$p' "$console"
echo "vm: conformance failed, see $console"
exit 1
