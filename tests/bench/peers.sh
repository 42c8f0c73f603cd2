#!/bin/sh
# The newest stable Debian's crun, runc and podman in a root of their own: FOLDER. This host's may be
# too old to run here. Made once and kept.
# usage: peers.sh FOLDER
set -eu
folder=$1
[ -e "$folder/ready" ] && exit 0
rm -rf "$folder"
mkdir -p "$(dirname "$folder")"
mmdebstrap --quiet --variant=extract \
  --include=crun,runc,podman,netavark,aardvark-dns,nftables,iproute2,conmon,catatonit,ca-certificates,hyperfine,busybox-static,dash,coreutils,sed,grep,util-linux,mount,strace \
  trixie "$folder" >/dev/null
# What the packages' scripts would have done.
for link in bin sbin lib lib64; do ln -sfn "usr/$link" "$folder/$link"; done
mkdir -p "$folder/proc" "$folder/sys" "$folder/run" "$folder/root" "$folder/work" "$folder/mnt" "$folder/tmp" "$folder/var/tmp"
ln -sfn dash "$folder/usr/bin/sh"
printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n' >"$folder/etc/passwd"
printf 'root:x:0:\nnogroup:x:65534:\n' >"$folder/etc/group"
touch "$folder/ready"
