#!/bin/sh
# The newest stable Debian's kernel for the test machine: FOLDER/vmlinuz and FOLDER/lib/modules/RELEASE,
# unpacked from its package once and kept. Its modules are uncompressed, for busybox to load.
# usage: kernel.sh FOLDER
set -eu
folder=$1
[ -e "$folder/ready" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=extract --include=linux-image-cloud-amd64 trixie "$work/tree" >/dev/null
rm -rf "$folder"
mkdir -p "$folder/lib"
mv "$work/tree/usr/lib/modules" "$folder/lib/modules"
mv "$work"/tree/boot/vmlinuz-* "$folder/vmlinuz"
find "$folder/lib/modules" -name '*.ko.xz' -exec xz -d {} +
depmod -b "$folder" "$(ls "$folder/lib/modules")"
touch "$folder/ready"
