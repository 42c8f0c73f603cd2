#!/bin/sh
# Watches podvisor from inside the test machine and prints one `observer: …` line a finding.
say() { echo "observer: $*"; }
# wait_for SECONDS WHAT COMMAND...: repeats the command until it succeeds.
wait_for() {
  left=$(($1 * 5)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || { say "FAILED $what"; return 1; }
    sleep 0.2
  done
  say "ok $what"
}
# First process of a member of phoenix, and of no other pod: the lowest pid of its cgroup.
member() { sort -n /sys/fs/cgroup/podvisor/pod"$uid"/"$1"/cgroup.procs 2>/dev/null | head -n 1 | grep .; }
find_uid() {
  uid=$(podvisor get pod phoenix -o json 2>/dev/null | sed -n 's/.*"uid": *"\([0-9a-f-]*\)".*/\1/p' | head -n 1)
  [ -n "$uid" ]
}
zombies() { grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l; }
no_zombies() { [ "$(zombies)" = 0 ]; }
sleepers_gone() { ! grep -qs '^sleep.7$' /proc/[0-9]*/comm && [ "$(ls -d /proc/[0-9]* | wc -l)" -lt 120 ]; }
supervisor() { cat /run/podvisor/lock 2>/dev/null | grep -o '[0-9]*' | head -n 1 | grep .; }
new_supervisor() { now=$(supervisor) && [ "$now" != "$old" ] && kill -0 "$now"; }

while [ ! -e /proc/1/cmdline ]; do sleep 0.1; done
[ "$(tr '\0' ' ' </proc/1/cmdline | cut -d' ' -f1)" = /usr/bin/podvisor ] && say "ok podvisor is PID 1"
wait_for 60 "phoenix is there" find_uid
wait_for 60 "a member of phoenix runs" member main.0
wait_for 20 "its neighbour runs" member side.0
wait_for 20 "the answer over localhost" podvisor exec phoenix/main -- wget -qO- http://127.0.0.1:8080/passwd
wait_for 20 "the answer at the pod's address" sh -c \
  'podvisor get pod phoenix -o json | grep -o "\"podIP\": *\"[0-9.]*\"" | grep -o "[0-9][0-9.]*" | head -n 1 | grep .'

kill -9 "$(member main.0)" && say "ok killed a member"
wait_for 20 "the member came back" member main.1
old=$(supervisor) side=$(member side.0)
kill -9 "$old" && say "ok killed the supervisor"
wait_for 20 "PID 1 restarted the supervisor" new_supervisor
[ "$(member side.0)" = "$side" ] && say "ok the members were adopted"

i=0
while [ $i -lt 1000 ]; do
  (sleep 1 &)
  i=$((i + 1))
done
say "ok made 1000 orphans"
wait_for 30 "the orphans are reaped" sleepers_gone
wait_for 10 "no zombie is left" no_zombies
mkdir -p /run/vm-test && touch /run/vm-test/go
say done
