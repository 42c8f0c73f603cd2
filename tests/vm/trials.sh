#!/bin/bash
# Runs trials/NAME.sh in the test machine with a bundle of busybox. A trial prints `ok WHAT` or
# `FAIL WHAT` a line, by the functions of trials/judge.sh, and `done` at its end.
# usage: trials.sh BINARIES CACHE NAME...     the console's text stays in CACHE/vm/trials.log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/vm" "$work/bundle"
"$here/../../rootfs/busybox/recipe.sh" "$work/bundle/rootfs/"
install -m 755 "$binaries/podvisor-oci" "$here"/trials/*.sh "$work/"
{
  printf '#!/bin/sh\ncd /added/bundle && ../podvisor-oci spec\n'
  for name in "$@"; do echo "cd /added/bundle; echo trial $name; sh -c '. /added/judge.sh; . /added/$name.sh; echo done $name'"; done
} >"$work/start"
chmod 755 "$work/start"
console=$cache/vm/trials.log
"$here/machine.sh" "$cache" "$work" "$console"
sed -n 's/^trial /  /p; s/^ok /  ok    /p' "$console"
failed=0
! grep -q '^FAIL ' "$console" || failed=1
for name in "$@"; do grep -qx "done $name" "$console" || failed=1; done
[ $failed = 1 ] || exit 0
grep -A 20 '^FAIL ' "$console" || tail -n 40 "$console"
echo "vm: failed, see $console"
exit 1
