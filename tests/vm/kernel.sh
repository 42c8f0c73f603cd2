#!/bin/sh
# Debian's kernel for the test machine: FOLDER/vmlinuz and FOLDER/lib/modules/<release>, unpacked
# from its package once and kept.
# usage: kernel.sh FOLDER
set -eu
folder=$1
[ -e "$folder/vmlinuz" ] && exit 0
mkdir -p "$folder/lib"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
(cd "$work" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2)
dpkg-deb -x "$work"/*.deb "$work/tree"
rm -rf "$folder/lib/modules"
modules=$work/tree/lib/modules
[ -d "$modules" ] || modules=$work/tree/usr/lib/modules
mv "$modules" "$folder/lib/modules"
mv "$work"/tree/boot/vmlinuz-* "$folder/vmlinuz"
