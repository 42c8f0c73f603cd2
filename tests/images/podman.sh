#!/bin/sh
# podman and buildah: they read what we write and we read what they write.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/rich.sh"
hide /run /var/lib/cni /var/lib/containers
mkdir -p /run/lock
PLAIN=--no-acls
make_image rich:1
cd "$root" || exit 1
cat >"$root/storage.conf" <<END
[storage]
driver = "overlay"
runroot = "$root/run"
graphroot = "$root/graph"
END
export CONTAINERS_STORAGE_CONF="$root/storage.conf"
# podman's store gives every root folder one mode of its own.
root_mode="^b'[.]'"
p="podman --tmpdir $root/tmp"
expect 'save' 0 '' sh -c "$podvisor save -qo oci.tar rich:1 && $podvisor save -q --format docker-archive -o docker.tar rich:1 &&
  $podvisor save -q --format oci-dir -o oci rich:1 && $podvisor save -q --format docker-dir -o dir rich:1"
for form in oci.tar docker.tar oci dir; do
  expect "podman loads $form" 0 'Loaded image' $p load -i $form
  img=$($p images -q --no-trunc | head -n 1)
  at=$($p image mount "$img")
  facts "$at" >theirs
  expect "podman unpacks $form the same" 0 '' same theirs "$root_mode"
  $p image unmount "$img" >/dev/null
  $p rmi -f "$img" >/dev/null
done
$p load -qi oci.tar >/dev/null
img=$($p images -q | head -n 1)
$p tag "$img" theirs:1
for format in oci-archive docker-archive oci-dir docker-dir; do
  expect "podman saves $format" 0 '' $p save -q --format $format -o p-$format theirs:1
  expect "load podman's $format" 0 '' "$podvisor" load -q --name back:$format p-$format
  expect "podman's $format is the same" 0 '' same_of_ours back:$format
done
c=$(buildah from --pull-never theirs:1)
expect 'buildah commits' 0 '' buildah commit -q "$c" oci-archive:buildah.tar:built:1
expect "load buildah's" 0 '' "$podvisor" load -q --name built:1 buildah.tar
expect "buildah's is the same" 0 '' same_of_ours built:1
c=$(buildah from -q oci-archive:oci.tar:rich:1 2>/dev/null)
facts "$(buildah mount "$c")" >theirs
expect 'buildah unpacks the same' 0 '' same theirs "$root_mode"
buildah rm -a >/dev/null
$p rmi -fa >/dev/null
verdict
