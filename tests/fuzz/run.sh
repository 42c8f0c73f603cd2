#!/bin/bash
# run.sh FOLDER SCOPE [--merge] [TARGET...]: runs the targets, or all, under libFuzzer for
# FUZZ_SECONDS each, and exits with 1 when one failed. FOLDER is where they are compiled, and keeps
# what was found so far (corpus/TARGET), what failed (crashes/TARGET-...) and the logs. SCOPE is the
# program of the crate `scope`. With --merge nothing is tried: what covers more than the corpora
# in the tree do is added to them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$(realpath -m "$1") scope=$2
shift 2
merge=
if [ "${1-}" = --merge ]; then merge=1; shift; fi

# name, longest input in bytes, the tests that hold it; see the README beside this file.
table='
config           8192 -p runtime --lib
state            8192 -p runtime --lib
seccomp          4096 -p runtime --lib
seccomp-answers   512 -p runtime --lib
mountinfo        4096 -p runtime --lib
cgroup-files     4096 -p runtime --lib
user              128 -p oci-cli --bin podvisor-oci
accounts         1024 -p image --lib
manifest         4096 -p image --lib
index            4096 -p image --lib
image-config     4096 -p image --lib
reference         256 -p image --lib
gzip             4096 -p image --lib
tar              8192 -p image --lib
containerfile    4096 -p build --lib
dockerignore     1024 -p build --lib
registry-headers 1024 -p registry --lib
registry-answers 4096 -p registry --lib
'

# Instrumented, by flags of a stable compiler; these replace what .cargo/config.toml says, for
# libFuzzer wraps memcmp(3) by the dynamic linker. A short memcmp(3) must stay a call, too: as the
# loads that it would become nobody sees what is compared.
flags=(
  --cfg fuzzing -Cdebug-assertions -Coverflow-checks -Ccodegen-units=1
  -Cpasses=sancov-module
  -Cllvm-args=-sanitizer-coverage-level=4
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table
  -Cllvm-args=-sanitizer-coverage-trace-compares
  -Cllvm-args=-simplifycfg-branch-fold-threshold=0
  -Cllvm-args=-max-loads-per-memcmp=0
)
export RUSTFLAGS=${flags[*]}
cd "$here/../.."

# Compiles the tests that hold a target; prints their program.
program() {
  cargo test --quiet --profile fuzz --target-dir "$folder" --no-run \
    --message-format=json-render-diagnostics "$@" |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1
}

# What libFuzzer has told at one of its words: inputs so far, or the coverage.
told() { sed -n "s/^#\([0-9]*\)\s*$1\s*cov: \([0-9]*\).*/\\$2/p" "$log" | tail -n 1; }

failed=
while read -r name longest tests; do
  case " ${*:-$name} " in *" $name "*) ;; *) continue ;; esac
  found=$folder/corpus/$name crashes=$folder/crashes log=$folder/$name.log
  mkdir -p "$found" "$crashes"
  # shellcheck disable=SC2086  # several words
  command=("$(program $tests)")
  # What it is told to connect to may be anywhere.
  [ "$name" != registry-answers ] || command=("$scope" "${command[@]}")
  command+=(-max_len="$longest" -rss_limit_mb=1024 -timeout=10 -artifact_prefix="$crashes/$name-")
  export FUZZ_TARGET=$name
  if [ -n "$merge" ]; then
    # By edges, not by how often: a corpus to be read by people, too.
    control=$folder/$name.control none=$(mktemp -d)
    rm -f "$control"
    "${command[@]}" -set_cover_merge=1 -use_counters=0 -merge_control_file="$control" \
      "$none" "$here/$name" "$found" >"$log" 2>&1 </dev/null
    rm -r "$none"
    "$here/keep.py" "$control" "$here/$name"
  elif "${command[@]}" -max_total_time="${FUZZ_SECONDS:-60}" -print_final_stats=1 \
    "$found" "$here/$name" >"$log" 2>&1 </dev/null; then
    echo "$name: $(told DONE 1) inputs, coverage $(told INITED 2) -> $(told DONE 2)"
  else
    tail -n 40 "$log" >&2
    echo "$name: FAILED, see $log and $crashes" >&2
    failed=1
  fi
done < <(sed '/^$/d' <<<"$table")
exit ${failed:-0}
