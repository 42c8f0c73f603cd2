#!/bin/bash
# Runs tests of tests/privileged in the test machine, on pure cgroup v2 with every controller.
# usage: privileged.sh BINARIES CACHE [TEST...]
#        TEST is a word of a test's path (default: all of podvisor-oci's; of the sweeps each
#        PODVISOR_SWEEP_STRIDE-th call, 40, and of the races PODVISOR_RACE_ROUNDS, 300); the console's
#        text stays in CACHE/vm/privileged.log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) house=$(cd "$(dirname "$0")/../.." && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")
shift 2
harness=$(cd "$house" && cargo test --test privileged --no-run --message-format=json 2>/dev/null |
  sed -n 's|.*"executable":"\([^"]*/privileged-[^"]*\)".*|\1|p' | tail -n 1)
[ -x "$harness" ] || { echo "vm: the tests were not built"; exit 1; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/vm" "$work/bin" "$work/house/tests/privileged/tools" "$work/house/rootfs"
cp "$binaries/podvisor-oci" "$binaries/podvisor" "$work/bin/"
cp -r "$house/rootfs/busybox" "$work/house/rootfs/"
strip -o "$work/harness" "$harness"
# The machine has no compiler.
for source in "$house"/tests/privileged/tools/*.c; do
  name=$(basename "$source" .c)
  gcc -static -O1 -o "$work/house/tests/privileged/tools/$name" "$source"
done
cp /usr/include/linux/capability.h "$work/"
[ $# -gt 0 ] || set -- cve:: hardened:: moved_root:: stuck:: sweep:: race:: readiness:: --skip store_sweep
cat >"$work/start" <<START
#!/bin/sh
export PODVISOR_BIN=/added/bin PODVISOR_TEST_HOUSE=/added/house PODVISOR_SWEEP_STRIDE=${PODVISOR_SWEEP_STRIDE:-40}
export PODVISOR_RACE_ROUNDS=${PODVISOR_RACE_ROUNDS:-300}
mkdir -p /usr/include/linux && cp /added/capability.h /usr/include/linux/
for c in \$(cat /sys/fs/cgroup/cgroup.controllers); do echo +\$c >/sys/fs/cgroup/cgroup.subtree_control; done
/added/harness --test-threads=1 $(printf "'%s' " "$@")
echo "tests ended with \$?"
START
chmod 755 "$work/start"
console=$cache/vm/privileged.log
"$here/machine.sh" "$cache" "$work" "$console"
grep -E '^test result' "$console" | tail -n 1 || :
! grep -q '^tests ended with 0' "$console" || exit 0
grep -E '^test .* FAILED|panicked|^failures|^    ' "$console" | head -n 80
echo "vm: tests failed, see $console"
exit 1
