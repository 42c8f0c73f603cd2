#!/bin/sh
# A kernel for the test machine: FOLDER/vmlinuz and FOLDER/lib/modules/RELEASE, unpacked from its
# packages once and kept; that of the newest stable Debian, or Ubuntu's of the suite `noble`, which
# is built with what Debian leaves out: v1's memory and cpuset, core scheduling, RDMA in software.
# The modules are uncompressed, for busybox to load.
# usage: kernel.sh FOLDER [noble]
set -eu
folder=$1 suite=${2:-trixie}
[ -e "$folder/ready" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
unpack() { # SUITE PACKAGE [OPTION...]
  suite_of=$1 package=$2
  shift 2
  mmdebstrap --quiet --variant=extract --include="$package" "$@" "$suite_of" "$work/tree" >/dev/null
}
if [ "$suite" = noble ]; then
  # Ubuntu's keys are a package of Debian's; its kernel's modules are two packages.
  unpack trixie ubuntu-keyring
  mv "$work"/tree/usr/share/keyrings/ubuntu-archive-keyring.gpg "$work/keys.gpg" && rm -r "$work/tree"
  unpack noble linux-image-virtual --keyring="$work/keys.gpg" --components=main
  release=$(ls "$work/tree/lib/modules") && mv "$work/tree" "$work/image"
  unpack noble "linux-modules-extra-$release" --keyring="$work/keys.gpg" --components=main
  cp -a "$work/image/." "$work/tree/" && rm -r "$work/image"
else
  unpack "$suite" linux-image-cloud-amd64
fi
rm -rf "$folder"
mkdir -p "$folder/lib"
modules=$work/tree/usr/lib/modules
[ -e "$modules" ] || modules=$work/tree/lib/modules
mv "$modules" "$folder/lib/modules"
mv "$work"/tree/boot/vmlinuz-* "$folder/vmlinuz"
find "$folder/lib/modules" -name '*.ko.xz' -exec xz -d {} +
find "$folder/lib/modules" -name '*.ko.zst' -exec zstd -q -d --rm {} +
depmod -b "$folder" "$(ls "$folder/lib/modules")"
touch "$folder/ready"
