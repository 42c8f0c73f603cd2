#!/bin/sh
# A root of the newest stable Debian with its systemd: FOLDER. Made once and kept.
# usage: root.sh FOLDER
set -eu
folder=$1
[ -e "$folder/ready" ] && exit 0
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mmdebstrap --quiet --variant=extract \
  --include=systemd,systemd-sysv,util-linux,mount,dash,bash,coreutils,sed,grep,procps,kmod,busybox-static \
  trixie "$folder" >/dev/null
# What the packages' scripts would have done.
for link in bin sbin lib lib64; do [ -e "$folder/$link" ] || ln -sfn "usr/$link" "$folder/$link"; done
ln -sfn dash "$folder/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$folder/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$folder/etc/group"
: >"$folder/etc/machine-id"
rm -rf "$folder/usr/share/doc" "$folder/usr/share/man" "$folder/usr/share/locale" "$folder/var/cache/apt" \
  "$folder/var/lib/apt" "$folder/usr/lib/modules" "$folder/usr/lib/udev/hwdb.d"
touch "$folder/ready"
