#!/bin/bash
# Runs trials/NAME.sh in the test machine with a bundle of busybox. A trial prints `ok WHAT` or
# `FAIL WHAT` a line, by the functions of trials/judge.sh, and `done` at its end. One that says
# `# lsm: NAME` has a machine with that security module, shared with others of its kind.
# usage: trials.sh BINARIES CACHE NAME...     the console's text stays in CACHE/vm/trials[-LSM].log
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")
shift 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/vm" "$work/bundle"
"$here/../../rootfs/busybox/recipe.sh" "$work/bundle/rootfs/"
install -m 755 "$binaries/podvisor-oci" "$here"/trials/*.sh "$work/"
declare -A groups
for name in "$@"; do
  lsm=$(sed -n 's/^# lsm: //p' "$here/trials/$name.sh")
  groups[${lsm:-none}]+=" $name"
done
failed=0
for lsm in "${!groups[@]}"; do
  read -ra names <<<"${groups[$lsm]}"
  [ "$lsm" != none ] || lsm=
  {
    printf '#!/bin/sh\ncd /added/bundle && ../podvisor-oci spec\n'
    for name in "${names[@]}"; do echo "cd /added/bundle; echo trial $name; sh -c '. /added/judge.sh; . /added/$name.sh; echo done $name'"; done
  } >"$work/start"
  chmod 755 "$work/start"
  console=$cache/vm/trials${lsm:+-$lsm}.log
  VM_LSM=$lsm "$here/machine.sh" "$cache" "$work" "$console"
  sed -n 's/^trial /  /p; s/^ok /  ok    /p' "$console"
  bad=0
  ! grep -aq '^FAIL ' "$console" || bad=1
  for name in "${names[@]}"; do grep -aqx "done $name" "$console" || bad=1; done
  [ $bad = 1 ] || continue
  failed=1
  grep -a -A 20 '^FAIL ' "$console" || tail -n 40 "$console"
  echo "vm: failed, see $console"
done
exit $failed
