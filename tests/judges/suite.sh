#!/bin/bash
# In the root of root.sh, in a scope: one suite with one runtime; TAP, each program's under its name.
# usage: suite.sh runc|crun|runtime-tools RUNTIME
set -uo pipefail
suite=$1 runtime=$2
export HOME=/root LANG=C.UTF-8 TERM=xterm GOCACHE=/go/cache GOTELEMETRY=off
export PATH=/usr/lib/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
# Both ends of what follows are a terminal's.
terminal() { script -qefc "$1" /dev/null </dev/null; }
case $suite in
runc)
  export RUNC=$runtime
  cd /src/runc && terminal "bats -t tests/integration"
  ;;
crun)
  export OCI_RUNTIME=$runtime INIT=/src/crun/tests/init
  cd /src/crun/tests && for test in test_*.py; do
    echo "== $test"
    timeout -k 5 120 script -qefc "python3 $test" /dev/null </dev/null
  done
  ;;
runtime-tools)
  export RUNTIME=$runtime
  cd /src/runtime-tools && for test in $(find validation -name '*.t' | sort); do
    echo "== $test"
    timeout -k 5 120 "$test" 2>&1
    echo "ended $?"
  done
  ;;
esac
# A process that somebody has frozen would keep the scope.
own=$(sed -n 's/^[0-9]*:freezer:\(.*\)/\1/p' /proc/self/cgroup)
find "/sys/fs/cgroup/freezer$own" -mindepth 2 -name freezer.state 2>/dev/null | while read -r state; do
  echo THAWED >"$state"
done
exit 0
