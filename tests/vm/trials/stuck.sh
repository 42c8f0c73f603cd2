# Containers that get on no more, on pure cgroup v2: each verb ends or says why within 10 s, and
# what can be deleted is deleted.
mkdir -p /run/s && cd /run/s && cp -a /added/bundle/rootfs .
# Within 10 s, whatever it says; the time it took is shown when it took longer.
soon() {
  timeout 10 /added/podvisor-oci --root /run/trial "$@" </dev/null >/run/out 2>&1
  code=$?
  [ $code != 124 ] || { echo "took more than 10 s: $*"; return 1; }
  cat /run/out
}
each_soon() { # ID
  soon state "$1" >/dev/null && soon exec "$1" true >/dev/null && soon ps "$1" >/dev/null && soon kill "$1" TERM >/dev/null
}
sleeper() { config 'sleep 1000 & sleep 1000'; quietly oci run -d c; }

sleeper
echo 1 >/sys/fs/cgroup/c/cgroup.freeze
judge 'frozen by hand: it is paused' within 5 is paused c
judge 'frozen by hand: each verb ends' each_soon c
judge 'frozen by hand: delete without force is refused' says 'paused' soon delete c
judge 'frozen by hand: delete' soon delete --force c
judge 'frozen by hand: it is gone' gone c

sleeper
mkdir -p /sys/fs/cgroup/c/part
sh -c 'sleep 1000 & echo $! >/run/part'
cat /run/part >/sys/fs/cgroup/c/part/cgroup.procs
echo 1 >/sys/fs/cgroup/c/part/cgroup.freeze
judge 'a part frozen: each verb ends' each_soon c
judge 'a part frozen: kill' soon kill c KILL
judge 'a part frozen: delete' soon delete --force c
judge 'a part frozen: it is gone' gone c

mkdir /sys/fs/cgroup/above
config 'sleep 1000' 'c["linux"]["cgroupsPath"] = "/above/c"'
quietly oci run -d c
echo 1 >/sys/fs/cgroup/above/cgroup.freeze
judge 'a parent frozen: state' soon state c
judge 'a parent frozen: exec ends' soon exec c true
judge 'a parent frozen: delete is done or reported' sh -c '. /added/judge.sh; timeout 10 /added/podvisor-oci --root /run/trial delete --force c; [ $? != 124 ]'
echo 0 >/sys/fs/cgroup/above/cgroup.freeze
judge 'a parent thawed: delete' soon delete --force c
judge 'a parent thawed: it is gone' sh -c '! test -e /sys/fs/cgroup/above/c'
rmdir /sys/fs/cgroup/above

config 'sleep 1; tail /dev/zero' 'c["linux"]["resources"] = {"memory": {"limit": 16777216, "swap": 16777216}}'
quietly oci run -d c
judge 'killed for memory: it stops' within 20 is stopped c
judge 'killed for memory: exec is refused' says 'stopped' soon exec c true
judge 'killed for memory: kill is refused' says 'not running' soon kill c TERM
judge 'killed for memory: delete' soon delete c
judge 'killed for memory: it is gone' gone c

# A zombie: its parent, a run in the foreground, is stopped and reaps nobody.
config 'sleep 1'
/added/podvisor-oci --root /run/trial run z </dev/null >/run/out 2>&1 &
foreground=$!
within 5 is running z && kill -STOP $foreground
pid=$(pid z)
judge 'a zombie: it is one' within 5 grep -q '^State:.Z' "/proc/$pid/status"
judge 'a zombie: it is stopped' says '"stopped"' soon state z
judge 'a zombie: delete' soon delete z
judge 'a zombie: it is gone' gone z
kill -CONT $foreground
wait $foreground

# A file system that is frozen: who writes to it waits in the kernel and hears no signal.
dd if=/dev/zero of=/run/disk bs=1M count=16 2>/dev/null
mkfs.ext4 -q -O ^has_journal /run/disk && mkdir -p /run/frozen && mount -o loop /run/disk /run/frozen
config 'echo $$; while :; do echo x >/frozen/file; sleep 0.1; done' \
  'c["mounts"] += [{"destination": "/frozen", "type": "bind", "source": "/run/frozen", "options": ["bind"]}]'
quietly oci run -d c
within 5 test -s /run/frozen/file
fsfreeze -f /run/frozen
pid=$(pid c)
judge 'unkillable: it waits in the kernel' within 5 grep -q '^State:.D' "/proc/$pid/status"
judge 'unkillable: state' says '"running"' soon state c
judge 'unkillable: exec' soon exec c true
judge 'unkillable: pause says so' soon pause c
judge 'unkillable: resume' soon resume c
judge 'unkillable: kill' soon kill c KILL
judge 'unkillable: delete says what does not end' says "$pid|does not end|process" soon delete --force c
judge 'unkillable: it is still known' says '"running"|"stopped"' soon state c
fsfreeze -u /run/frozen
judge 'thawed: it ends' within 10 sh -c "! test -e /proc/$pid || grep -q '^State:.Z' /proc/$pid/status"
judge 'thawed: delete' soon delete --force c
judge 'thawed: it is gone' gone c
umount /run/frozen
judge 'no mount is left' sh -c '! grep /run/s /proc/self/mounts'
