#!/bin/bash
# The newest stable Debian's engines with podvisor-oci in the test machine, on pure cgroup v2: the trials of
# tests/engines.
# usage: engines.sh BINARIES CACHE [ENGINE...]    the console's text stays in CACHE/vm/engines.log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd) house=$(cd "$(dirname "$0")/../.." && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")
shift 2
[ $# -gt 0 ] || set -- podman containerd docker
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/vm" "$work/tests"
cp -r "$house/packaging" "$house/rootfs" "$work/"
cp -r "$house/tests/engines" "$work/tests/"
install -m 755 "$binaries/podvisor-oci" "$work/"
{
  printf '#!/bin/sh\nexport PODVISOR_TEST_SCOPE=/scope\n'
  # Containers below a cgroup with all controllers, as an init would have left it.
  echo 'for c in $(cat /sys/fs/cgroup/cgroup.controllers); do echo +$c >/sys/fs/cgroup/cgroup.subtree_control; done'
  for engine in "$@"; do
    echo "mkdir -p /scope; mount -t tmpfs scope /scope; echo $engine:
      unshare -m --propagation private /added/tests/engines/$engine.sh /added/podvisor-oci && echo done $engine
      umount -l /scope"
  done
} >"$work/start"
chmod 755 "$work/start"
console=$cache/vm/engines.log
"$here/machine.sh" "$cache" "$work" "$console" engines
failed=0
for engine in "$@"; do grep -qx "done $engine" "$console" || failed=1; done
grep -E '^ +(ok|FAIL) ' "$console" || failed=1
[ $failed = 1 ] || exit 0
tail -n 80 "$console"
echo "vm: engines failed, see $console"
exit 1
