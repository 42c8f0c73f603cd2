#!/bin/bash
# Runs the conformance cases in two test machines at once, on pure cgroup v2 with every controller:
# on podvisor-oci; `--peers` has Debian's runc and crun beside it.
# usage: conformance.sh BINARIES CACHE [--peers] [WORDS OF CASES...]
#        the consoles' text stays in CACHE/vm/conformance-{0,1}.log; VM_TIMEOUT: seconds (3600)
set -euo pipefail
# Half the cases alone take 400 s of a machine that does nothing else.
export VM_TIMEOUT=${VM_TIMEOUT:-3600}
here=$(cd "$(dirname "$0")" && pwd)
binaries=$(realpath "$1") cache=$(realpath -m "$2")
shift 2
harness=$(cd "$here" && cargo test -p oci-cli --test conformance --no-run --message-format=json 2>/dev/null |
  sed -n 's|.*"executable":"\([^"]*/conformance-[^"]*\)".*|\1|p' | tail -n 1)
[ -x "$harness" ] || { echo "vm: the conformance harness was not built"; exit 1; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$cache/vm" "$work/bin"
cp "$binaries/podvisor-oci" "$work/bin/"
strip -o "$work/harness" "$harness"
cp "$here"/../conformance/*.case "$work/"
peers=
[ "${1:-}" != --peers ] || { peers=1; shift; }
printf '%s\n' "$@" >"$work/words"
cat >"$work/start" <<START
#!/bin/sh
# Debian's programs are linked dynamically, which costs a slow machine three times the start. Not
# those that start others: busybox takes its own applets then, of which some are less able.
mkdir -p /run/quick
for applet in basename cat chmod cp cut date dirname expr false grep head ln ls mkdir mv rm rmdir sed \
  seq sleep sort tail touch tr true wc; do
  ln -s /usr/bin/busybox /run/quick/\$applet
done
export PATH=/run/quick:\$PATH
export PODVISOR_ALONE=1 PODVISOR_BIN=/added/bin PODVISOR_CASES=/added PODVISOR_PEERS=$peers
IFS='
'
PODVISOR_PART=\$(cat /added/part) /added/harness \$(cat /added/words)
echo "conformance ended with \$?"
START
chmod 755 "$work/start"
half() {
  cp -a "$work" "$work.$1"
  echo "$1/2" >"$work.$1/part"
  "$here/machine.sh" "$cache" "$work.$1" "$cache/vm/conformance-$1.log" || true
  rm -rf "$work.$1"
}
# What is made once is not made by both.
"$here/kernel.sh" "$cache/vm/kernel"
"$here/root.sh" "$cache/vm/root.ext4"
half 0 &
half 1
wait
consoles=("$cache"/vm/conformance-{0,1}.log)
sed -n 's/^\([a-z-]*\)  *\([0-9]*\) of \([0-9]*\) cases (\(.*\))$/\1 \2 \3 \4/p' "${consoles[@]}" |
  awk '{ name = $1; passed[name] += $2; all[name] += $3; $1 = $2 = $3 = ""; version[name] = $0 }
    END { for (n in all) printf "  %-13s %d of %d cases (%s)\n", n, passed[n], all[n], substr(version[n], 4) }'
[ "$(grep -h '^conformance ended with 0' "${consoles[@]}" | wc -l)" != 2 ] || exit 0
for console in "${consoles[@]}"; do sed -n '/^podvisor-oci  *[0-9]* of/,$p' "$console"; done
echo "vm: conformance failed, see ${consoles[*]}"
exit 1
