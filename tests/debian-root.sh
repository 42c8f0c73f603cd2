#!/bin/sh
# A root of the newest stable Debian with these packages, unpacked and not configured, in FOLDER.
# usage: debian-root.sh FOLDER PACKAGE,...
set -eu
folder=$1
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mmdebstrap --quiet --variant=extract --include="$2,busybox-static,dash,coreutils,sed,grep,util-linux,mount" \
  trixie "$folder" >/dev/null
# What the packages' scripts would have done.
for link in bin sbin lib lib64; do [ -e "$folder/$link" ] || ln -sfn "usr/$link" "$folder/$link"; done
ln -sfn dash "$folder/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$folder/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$folder/etc/group"
