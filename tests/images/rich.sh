# Sourced: an image of two layers that has everything a layer can have, and what its tree looks like.
# shellcheck shell=sh
. "$here/../engines/judge.sh"
podvisor=$1/podvisor
export PODVISOR_ROOT="$root/store" PODVISOR_STATE="$root/state" PODVISOR_LOG_DIR="$root/log"

facts() { "$here/facts.py" "$@"; }

# Functions are no programs that timeout(1) could run.
timeout() {
  case $4 in
    same | same_of_ours | digest) shift 3 && "$@" ;;
    *) command timeout "$@" ;;
  esac
}

# A tree of the first layer, one of the second with the files that whiteouts take away, and the tree
# that both together are: want.
make_trees() {
  long=$(printf 'n%.0s' $(seq 1 200)) deep=$(printf 'folder-of-a-long-name/%.0s' $(seq 1 12))
  mkdir -p one/dev one/etc/gone one/var/tmp one/opq "one/$deep" two/etc two/opq two/new
  (
    cd one
    echo base >etc/base && echo gone >etc/gone/file && echo replaced >etc/changed && echo x >opq/hidden
    echo linked >etc/first && ln etc/first etc/second && ln etc/first "$deep/third"
    ln -s ../etc/base var/link && ln -s /absolute/nowhere "var/$long"
    : >"etc/$long" && echo deep >"$deep/$long" && printf 'bytes \001 \377' >etc/bytes
    printf 'name' >"$(printf 'etc/n\303\266t \377 utf8')"
    echo program >etc/suid && chmod 4755 etc/suid && echo group >etc/sgid && chmod 2755 etc/sgid
    chmod 1777 var/tmp && chmod 0 etc/bytes && chown 1234:5678 etc/base && chown 3000000:3000000 etc/changed
    chown -h 7:8 var/link
    mknod dev/null c 1 3 && mknod dev/loop b 7 300 && mkfifo dev/pipe && chmod 666 dev/null
    python3 -c 'import os
for path, key, value in [("etc/base", "mime", b"text/plain"), ("var", "folder", b"yes"),
    ("etc/suid", "binary", b"\0\xff\n=")]: os.setxattr(path, "user." + key, value)'
    setcap cap_net_raw+ep etc/suid
    truncate -s 3M etc/sparse && printf a | dd of=etc/sparse bs=1 seek=1000000 conv=notrunc status=none
    printf z | dd of=etc/sparse bs=1 seek=2999999 conv=notrunc status=none
    truncate -s 1M etc/hole
    [ -n "${PLAIN:-}" ] || touch -h -d '1969-12-31 23:59:58.25 UTC' etc/second
    touch -d '2106-03-01 12:00:00.123456789 UTC' etc/hole
  )
  (cd two && echo changed >etc/changed && echo new >new/file && echo shown >opq/shown && chmod 700 etc)
  # GNU's own format has whole seconds.
  find two -exec touch -d '2020-01-01 UTC' {} +
  mkdir want && cp -a one/. want && rm -r want/etc/gone want/opq/hidden
  cp -a two/. want
  mkdir second && cp -a two/. second && : >second/etc/.wh.gone && : >second/opq/.wh..wh..opq
  touch -d '2020-01-01 UTC' second second/etc second/opq
}

# The layers as GNU tar writes them: the first in PAX, the second in its own format.
make_image() { # NAME
  mkdir "$root/rich" && cd "$root/rich" || exit 1
  make_trees
  tar --format=pax --xattrs --xattrs-include='*' ${PLAIN:--S} --sort=name -C one -cf one.tar .
  tar --format=gnu --sort=name -C second -cf two.tar .
  umoci init --layout rich && umoci new --image rich:1
  umoci raw add-layer --image rich:1 one.tar && umoci raw add-layer --image rich:1 two.tar
  umoci config --image rich:1 --config.cmd /bin/true --config.env A=b --config.label l=m
  facts want >want.facts
  "$podvisor" load -q --name "$1" rich >/dev/null || exit 1
}

# Whether a tree is the one that is wanted; what a peer is known to lose is left out of both.
same() { # FACTS [PATTERN]
  grep -Ev "${2:-^$}" <"$root/rich/want.facts" >"$root/want"
  grep -Ev "${2:-^$}" <"$1" | diff -a "$root/want" -
}

# The same for an image of our store, which is then removed.
same_of_ours() { # NAME [PATTERN]
  at=$("$podvisor" image mount "$1") || return 1
  facts "$at" >"$root/ours"
  "$podvisor" image unmount "$1" && same "$root/ours" "${2:-}"
}
