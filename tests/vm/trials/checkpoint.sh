# Checkpoint and restore through criu: a process that counts goes on where it was.
mkdir -p /run/c && cd /run/c && cp -a /added/bundle/rootfs .
count='i=$(cat /start); while :; do i=$((i + 1)); echo $i >/count; sleep 0.05; done'
number() { n=$(cat rootfs/count); echo "${n:-0}"; }
counts() { a=$(number); within 5 more_than "$a"; }
more_than() { [ "$(number)" -gt "$1" ]; }
# Counts on from what it was: one that began anew would begin with nothing. The file is left alone,
# since criu wants it as long as it was.
echo 1000 >rootfs/start
stop() { before=$(number); echo 0 >rootfs/start; }
counts_on() { within 5 more_than "$before"; }

config "$count"
judge 'checkpoint of nothing is refused' says 'does not exist' oci checkpoint c
judge 'create' quietly oci create c
judge 'checkpoint of a created container is refused' says 'it is created' oci checkpoint c
judge 'and leaves it alone' is created c
judge 'delete' oci delete c
judge 'run' quietly oci run -d c
judge 'it counts' within 5 test -s rootfs/count
mknod rootfs/loop b 7 0
judge 'the host disks are out of reach' says 'not permitted' oci exec c head -c 1 /loop
judge 'without criu it is refused' says 'install' oci --criu /nowhere/criu checkpoint c
judge 'and goes on' counts
judge 'checkpoint' oci checkpoint --image-path /run/images c
judge 'the container is gone' gone c
stop
judge 'restore' quietly oci restore --image-path /run/images -d --pid-file /run/pid c
judge 'it is running' is running c
judge 'it counts on' counts_on
judge 'the host disks are still out of reach' says 'not permitted' oci exec c head -c 1 /loop
judge 'the pid file' sh -c '. /added/judge.sh; oci state c | grep -q "\"pid\": $(cat /run/pid),"'
judge 'in its cgroup' grep -qx "$(cat /run/pid)" "$(cgroup memory c)/cgroup.procs"
judge 'exec' says '^1$' oci exec c sh -c 'ps | grep -c "[e]cho"'
judge 'an id is restored once' says 'exists' oci restore --image-path /run/images -d c
judge 'once more' oci checkpoint --image-path /run/images2 --work-path /run/work c
judge 'the log is in the work path' test -s /run/work/dump.log
stop
judge 'under another id' quietly oci restore --image-path /run/images2 -d d
judge 'it counts on' counts_on
judge 'leave it running' oci checkpoint --image-path /run/images3 --leave-running d
judge 'it is running' is running d
judge 'and counts' counts
judge 'pre-dump' oci checkpoint --image-path /run/pre --pre-dump d
judge 'it counts' counts
judge 'on top of that' oci checkpoint --image-path /run/images4 --parent-path ../pre d
judge 'it refers to it' test -e /run/images4/parent/.
stop
judge 'restore' quietly oci restore --image-path /run/images4 -d c
judge 'it counts on' counts_on
judge 'pause' oci pause c
judge 'leave a paused one' oci checkpoint --image-path /run/images6 --leave-running c
judge 'it is still paused' is paused c
judge 'resume' oci resume c
judge 'and counts on' counts
judge 'pause again' oci pause c
judge 'checkpoint of a paused one' oci checkpoint --image-path /run/images5 c
judge 'it is gone' gone c
oci delete --force c

# Mounts of the host, what is hidden, namespaces by path, limits, hooks.
ip netns add web
mkdir -p data rootfs/run && echo here >data/file && echo conf >conf
ln -s /run rootfs/var/run
echo 1000 >rootfs/start
config "$count" '
c["mounts"] += [{"destination": "/data", "type": "bind", "source": "/run/c/data", "options": ["rbind"]},
  {"destination": "/my data", "type": "bind", "source": "/run/c/data", "options": ["rbind"]},
  {"destination": "/etc/conf", "type": "bind", "source": "conf", "options": ["bind", "ro"]},
  {"destination": "/var/run/secret", "type": "bind", "source": "/run/c/data", "options": ["rbind"]},
  {"destination": "/var/scratch", "type": "tmpfs", "source": "tmpfs"}]
c["linux"]["resources"] = {"memory": {"limit": 67108864}, "pids": {"limit": 50}}
c["linux"]["namespaces"] = [n if n["type"] != "network" else {"type": "network", "path": "/run/netns/web"}
  for n in c["linux"]["namespaces"]]
hook = lambda name: [{"path": "/bin/sh", "args": ["sh", "-c", "cat >>/run/hook." + name]}]
c["hooks"] = {name: hook(name) for name in ["createRuntime", "poststop"]}'
judge 'run with mounts' quietly oci run -d c
judge 'it counts' counts
oci exec c sh -c 'echo kept >/var/scratch/file'
rm -f /run/hook.*
judge 'checkpoint' oci checkpoint --image-path /run/images6 c
judge 'poststop hooks ran' grep -q '"stopped"' /run/hook.poststop
stop
rm -rf rootfs/data "rootfs/my data" rootfs/etc/conf rootfs/var/scratch rootfs/run/secret
echo other >data/file
judge 'restore' quietly oci restore --image-path /run/images6 -d c
judge 'it counts on' counts_on
judge 'the host bind mount of now' says '^other$' oci exec c cat /data/file
judge 'at a place with a space' says '^other$' oci exec c cat '/my data/file'
judge 'behind a link' says '^other$' oci exec c cat /run/secret/file
judge 'a single file' says '^conf$' oci exec c cat /etc/conf
judge 'and its tmpfs of then' says '^kept$' oci exec c cat /var/scratch/file
judge 'masked paths' says '^0$' oci exec c sh -c 'wc -c </proc/kcore'
judge 'a read-only path' says 'ead-only' oci exec c sh -c 'echo >/proc/sys/kernel/hostname'
judge 'the given network' sh -c '. /added/judge.sh; [ /run/netns/web -ef /proc/$(pid c)/ns/net ]'
judge 'limits' says '^67108864 50$' sh -c "cd $(cgroup memory c) && echo \$(cat memory.max memory.limit_in_bytes $(cgroup pids c)/pids.max 2>/dev/null)"
judge 'its cgroup as it sees it' says '^67108864$' oci exec c sh -c 'cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes'
judge 'which it cannot change' says 'ead-only' oci exec c sh -c 'mkdir /sys/fs/cgroup/new /sys/fs/cgroup/memory/new'
judge 'createRuntime hooks ran' grep -q '"creating"' /run/hook.createRuntime
judge 'delete' oci delete --force c

# A cgroup namespace where the default has none (v1), and none where it has one.
config "$count" '
kinds = [n for n in c["linux"]["namespaces"] if n["type"] != "cgroup"]
c["linux"]["namespaces"] = kinds + [{"type": "cgroup"}] * (kinds == c["linux"]["namespaces"])'
echo 1000 >rootfs/start
judge 'the other kind of cgroup namespace: run' quietly oci run -d c
seen=$(oci exec c sh -c 'cat /proc/self/cgroup; ls /sys/fs/cgroup')
judge 'the other kind of cgroup namespace: checkpoint' oci checkpoint --image-path /run/images9 c
stop
judge 'the other kind of cgroup namespace: restore' quietly oci restore --image-path /run/images9 -d c
judge 'the other kind of cgroup namespace: it counts on' counts_on
judge 'the other kind of cgroup namespace: it sees the same' test "$(oci exec c sh -c 'cat /proc/self/cgroup; ls /sys/fs/cgroup')" = "$seen"
judge 'the other kind of cgroup namespace: which it cannot change' says 'ead-only' oci exec c sh -c 'mkdir /sys/fs/cgroup/new /sys/fs/cgroup/memory/new'
judge 'the other kind of cgroup namespace: delete' oci delete --force c

# Descriptors: those of the caller of restore. A file must be as long as it was: criu looks.
config 'i=0; while :; do i=$((i + 1)); echo $i; echo $i >&2; sleep 0.05; done'
oci run -d c </dev/null 2>/run/errors | cat >/run/lines &
judge 'it writes' within 5 test -s /run/lines
judge 'checkpoint' oci checkpoint --image-path /run/images7 c
before=$(tail -n 1 /run/lines)
oci restore --image-path /run/images7 -d c </dev/null 2>>/run/errors | cat >/run/lines2 &
judge 'it writes on to another pipe' within 5 sh -c "[ \"\$(head -n 1 /run/lines2)\" = $((before + 1)) ]"
judge 'and to the file' within 5 sh -c "grep -qx $((before + 2)) /run/errors"
judge 'delete' oci delete --force c
wait

# In the foreground, with a terminal.
config 'i=0; while [ $i -lt 9999 ]; do i=$((i + 1)); echo line $i; [ -e /end ] && exit 7; sleep 0.05; done' \
  'c["process"]["terminal"] = True'
script -fqc '/added/podvisor-oci --root /run/trial run c' /run/screen </dev/null >/dev/null 2>&1 &
judge 'it has a terminal' within 5 grep -q 'line 5' /run/screen
judge 'checkpoint' oci checkpoint --image-path /run/images8 c
wait
script -fqc '/added/podvisor-oci --root /run/trial restore --image-path /run/images8 c; echo code $?' /run/screen2 </dev/null >/dev/null 2>&1 &
judge 'it goes on on another' within 5 grep -q 'line 1[0-9]' /run/screen2
touch rootfs/end
judge 'its exit code' within 5 grep -q 'code 7' /run/screen2
wait
judge 'it is gone' gone c

# What fails leaves nothing.
config "$count"
judge 'no images' says 'No such file' oci restore --image-path /run/nowhere -d c
cp -a /run/images6 /run/broken && head -c 10 /run/images6/pstree.img >/run/broken/pstree.img
judge 'broken images' says 'criu: .*rror' oci restore --image-path /run/broken -d c
judge 'nothing is left' gone c
judge 'no mount is left' sh -c '! grep /run/c /proc/self/mounts'
