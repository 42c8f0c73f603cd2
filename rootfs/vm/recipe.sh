#!/bin/sh
# An initramfs with podvisor as init: both binaries, busybox, the modules that containers need and
# whatever further files the caller gives.
# usage: recipe.sh OUT.cpio BINARIES-FOLDER MODULES-FOLDER [FOLDER-TO-ADD]
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "$1") binaries=$2 modules=$3 add=${4:-}
tree=$(mktemp -d)
chmod 755 "$tree"
trap 'rm -rf "$tree"' EXIT
root=$tree/sysroot
"$here/../busybox/recipe.sh" "$root/"
mkdir -p "$tree/bin" "$tree/dev" "$root/usr/bin" "$root/run" "$root/var/lib" "$root/var/log"
cp /bin/busybox "$tree/bin/busybox"
cp "$here/init" "$tree/init"
cp "$binaries/podvisor" "$binaries/podvisor-oci" "$root/usr/bin/"
for link in modprobe insmod; do ln -sf ../bin/busybox "$root/sbin/$link"; done

# Modules with all that they need, so that the kernel's own requests are answered by modprobe.
release=$(basename "$modules")
depmod -b "$(dirname "$modules")/../.." "$release"
wanted="overlay veth bridge nf_tables nft_chain_nat nft_nat nft_masq nft_ct nft_redir nft_fib_inet nft_reject_inet"
for name in $wanted; do
  sed -n "s|^\([^:]*/$name\.ko[^:]*\): *\(.*\)|\1 \2|p" "$modules/modules.dep"
done | tr ' ' '\n' | sort -u | while read -r file; do
  [ -n "$file" ] || continue
  mkdir -p "$root/lib/modules/$release/$(dirname "$file")"
  cp "$modules/$file" "$root/lib/modules/$release/$file"
done
cp "$modules"/modules.builtin "$modules"/modules.order "$root/lib/modules/$release/"
depmod -b "$root" "$release"
[ -z "$add" ] || cp -a "$add/." "$root/"
(cd "$tree" && find . | cpio --quiet -o -H newc) >"$out"
