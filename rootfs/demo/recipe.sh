#!/bin/sh
# The demo's root file system: one static program, the names of two users, three empty folders.
# usage: recipe.sh OUT.tar PODVISOR-BINARY
set -eu
out=$1 binary=$2
tree=$(mktemp -d)
chmod 755 "$tree"
trap 'rm -rf "$tree"' EXIT
mkdir -p "$tree/bin" "$tree/etc" "$tree/dev" "$tree/proc" "$tree/sys"
mkdir -m 1777 "$tree/tmp"
cp "$binary" "$tree/bin/podvisor"
printf 'root:x:0:0:root:/:\nnobody:x:65534:65534:nobody:/:\n' >"$tree/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$tree/etc/group"
tar -C "$tree" --sort=name --owner=0 --group=0 --numeric-owner -cf "$out" .
