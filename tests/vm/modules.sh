#!/bin/sh
# Copies kernel modules, with all that they need, from KERNEL (a folder of kernel.sh) to ROOT, and
# writes their names to ROOT/modules. One that is built in is left out.
# usage: modules.sh KERNEL ROOT NAME...
set -eu
kernel=$1 root=$2
shift 2
release=$(ls "$kernel/lib/modules")
from=$kernel/lib/modules/$release to=$root/lib/modules/$release
mkdir -p "$to"
for name in "$@"; do
  sed -n "s|^\([^:]*/$name\.ko\): *\(.*\)|\1 \2|p" "$from/modules.dep"
done | tr ' ' '\n' | sort -u | while read -r file; do
  [ -z "$file" ] || install -D -m 644 "$from/$file" "$to/$file"
done
for name in "$@"; do
  ! find "$to" -name "$name.ko" | grep -q . || echo "$name"
done >"$root/modules"
cp "$from"/modules.builtin* "$from/modules.order" "$to/"
depmod -b "$root" "$release"
