#!/bin/sh
# The newest stable Debian's crun, runc and podman in a root of their own: FOLDER. This host's may be
# too old to run here. Made once and kept.
# usage: peers.sh FOLDER
set -eu
folder=$1
[ -e "$folder/ready" ] && exit 0
"$(dirname "$0")/../debian-root.sh" "$folder" \
  crun,runc,podman,netavark,aardvark-dns,nftables,iproute2,conmon,catatonit,ca-certificates,hyperfine,strace
mkdir -p "$folder/proc" "$folder/sys" "$folder/run" "$folder/root" "$folder/work" "$folder/mnt" "$folder/tmp" "$folder/var/tmp"
touch "$folder/ready"
