#!/bin/bash
# Runs trials/NAME.sh in the test machine with a bundle of busybox. A trial prints `ok WHAT` or
# `FAIL WHAT` a line, by the functions of trials/judge.sh, and `done` at its end. One that says
# `# machine: WORD=VALUE...` has a machine of its own kind, shared with others that say the same:
# `lsm=NAME` with that security module, `kernel=SUITE` of kernel.sh, `cgroup=v1`.
# usage: trials.sh BINARIES CACHE NAME...     the console's text stays in CACHE/vm/trials[-KIND].log
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
  kind=$(sed -n 's/^# machine: //p' "$here/trials/$name.sh")
  groups[${kind:-usual}]+=" $name"
done
failed=0
for kind in "${!groups[@]}"; do
  read -ra names <<<"${groups[$kind]}"
  settings=()
  for word in ${kind#usual}; do
    setting=${word%%=*}
    settings+=("VM_${setting^^}=${word#*=}")
  done
  {
    printf '#!/bin/sh\ncd /added/bundle && ../podvisor-oci spec\n'
    for name in "${names[@]}"; do echo "cd /added/bundle; echo trial $name; sh -c '. /added/judge.sh; . /added/$name.sh; echo done $name'"; done
  } >"$work/start"
  chmod 755 "$work/start"
  label=${kind#usual}
  console=$cache/vm/trials${label:+-${label//[ =]/-}}.log
  env "${settings[@]}" "$here/machine.sh" "$cache" "$work" "$console"
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
