#!/bin/sh
# Every form out and in: skopeo reads ours and writes its own; umoci and GNU tar unpack the same.
here=$(cd "$(dirname "$0")" && pwd)
. "$here/rich.sh"
make_image rich:1
cd "$root" || exit 1
alias_=rich/more:latest
expect 'our unpacking is what GNU tar made' 0 '' same_of_ours rich:1
expect 'tag' 0 '' "$podvisor" tag rich:1 $alias_

digest() { skopeo inspect --raw "$1" | sha256sum | cut -d' ' -f1; }
manifest=$("$podvisor" images -o json | sed -n 's/.*"digest": *"sha256:\([0-9a-f]*\)".*/\1/p')
save="$podvisor save -q"
expect 'oci-archive' 0 '' $save -o oci.tar rich:1
expect 'oci-dir' 0 '' $save --format oci-dir -o oci rich:1
expect 'oci-dir, a second image' 0 '' $save --format oci-dir -o oci $alias_
expect 'docker-archive' 0 '' $save --format docker-archive -o docker.tar rich:1 $alias_
expect 'docker-dir' 0 '' $save --format docker-dir -o dir rich:1
expect 'into a pipe' 0 '' sh -c "$save --format docker-archive rich:1 $alias_ | cmp - docker.tar"
expect 'the same bytes' 0 '' sh -c "$save $alias_ rich:1 >a; $save -o b $alias_ rich:1; cmp a b"
expect 'a folder in the way' 1 'not empty' $save --format docker-dir -o rich rich:1
expect 'a folder to stdout' 2 'standard output' $save --format oci-dir rich:1
expect 'two images in one folder' 1 'one image' sh -c "$podvisor import -q rich/one.tar other:1 &&
  $save --format docker-dir -o dir2 rich:1 other:1"

for form in oci-archive:oci.tar:rich:1 oci:oci:rich:1 oci:oci:$alias_; do
  expect "skopeo reads $form" 0 "^$manifest" digest $form
done
for form in docker-archive:docker.tar:rich:1 docker-archive:docker.tar:$alias_ dir:dir; do
  expect "skopeo reads $form" 0 '"A=b"' skopeo inspect --config $form
done
expect 'umoci unpacks' 0 '' umoci unpack --image oci:rich:1 bundle
facts bundle/rootfs >theirs
expect 'umoci unpacks the same' 0 '' same theirs

n=0
for form in oci-archive:oci.tar:rich:1 docker-archive:docker.tar:rich:1 dir:dir; do
  for to in oci oci-archive docker-archive dir; do
    n=$((n + 1))
    tag=$([ $to = dir ] || echo ":x$n:1")
    expect "skopeo: $form to $to" 0 '' skopeo copy -q $form $to:"$root/x$n$tag"
    expect "load $to" 0 '' "$podvisor" load -q --name back:$n x$n
    expect "$form by skopeo to $to is the same" 0 '' same_of_ours back:$n
    expect 'rmi' 0 '' "$podvisor" rmi back:$n
  done
done
for format in gzip zstd zstd:chunked; do
  n=$((n + 1))
  skopeo copy -q --dest-compress-format $format --dest-compress oci:oci:rich:1 oci:x$n:1 >/dev/null 2>&1 || continue
  expect "load $format" 0 '' "$podvisor" load -q --name back:$n x$n
  expect "$format is the same" 0 '' same_of_ours back:$n
done
expect 'our docker-archive, by us' 0 '' "$podvisor" --root "$root/other" load docker.tar
old() { mkdir $1 && tar -C $1 -xf $2 && rm $1/manifest.json && tar -C $1 -cf $1.tar . && rm -r $1; }
old before docker.tar
expect 'as docker before 1.10 wrote it' 0 'rich:1' "$podvisor" --root "$root/old" load before.tar
expect 'both tags' 0 'more:latest' "$podvisor" --root "$root/old" images
PODVISOR_ROOT="$root/old" expect 'the same tree' 0 '' same_of_ours rich:1
skopeo copy -q oci:oci:rich:1 docker-archive:skopeo.tar:rich:1 && old skopeo skopeo.tar
expect "skopeo's, as docker before 1.10 wrote it" 0 '' "$podvisor" --root "$root/old2" load skopeo.tar
PODVISOR_ROOT="$root/old2" expect 'the same tree of that' 0 '' same_of_ours rich:1
expect 'rmi says untagged, not deleted, of an image with another name' 0 '' \
  sh -c "$podvisor rmi $alias_ >out && ! grep deleted out"
"$podvisor" images -q | grep '^back:' | xargs "$podvisor" rmi >/dev/null 2>&1
expect 'mount' 0 'rootfs$' "$podvisor" image mount rich:1
expect 'rmi of what is mounted' 1 'is used by mount-' "$podvisor" rmi rich:1
expect 'rmi -f says that files stay' 0 'in use' sh -c "$podvisor rmi -f rich:1 2>&1 | tee out"
expect 'and not that they are deleted' 1 '' grep '^deleted' out
expect 'its files are there' 0 '^base$' sh -c "cat store/containers/mount-*/rootfs/etc/base"
expect 'unmount by digest' 0 'unmounted' "$podvisor" image unmount "$manifest"
expect 'then they are gone' 0 '' sh -c "test -z \"\$(ls store/containers)\""
"$podvisor" load -q --name rich:1 oci.tar >/dev/null && "$podvisor" image mount rich:1 >/dev/null && umount store/containers/mount-*/rootfs
expect 'prune releases a mount that ended by itself' 0 '' "$podvisor" image prune
expect 'and its folder' 0 '' sh -c "test -z \"\$(ls store/containers)\""
expect 'system df' 0 'layers unpacked +[0-9]' "$podvisor" system df
expect 'prune' 0 '' "$podvisor" image prune --all
expect 'nothing is left' 0 '^0$' sh -c "find store/store/blobs store/snapshots -type f | wc -l"
verdict
