#!/bin/sh
# podman with podvisor-oci: single containers, pods, kube play, health checks, limits, security.
. "$(dirname "$0")/judge.sh"
hide /run /var/lib/cni /var/lib/containers
mkdir -p /run/lock "$root/vol"
{
  echo '[containers]'
  # podman asks for more than a host without CAP_SYS_RESOURCE may give.
  echo 'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]'
  snippet podman/podvisor.conf
  echo '[engine]'
} | awk '/^\[engine\]$/ { if (!seen++) { print; print "runtime = \"podvisor\""; print "cgroup_manager = \"cgroupfs\"";
    print "events_logger = \"file\"" } next } { print }' >"$root/containers.conf"
cat >"$root/storage.conf" <<END
[storage]
driver = "overlay"
runroot = "$root/run"
graphroot = "$root/graph"
END
export CONTAINERS_CONF="$root/containers.conf" CONTAINERS_STORAGE_CONF="$root/storage.conf"
"$here/../../rootfs/busybox/recipe.sh" "$root/busybox.tar"
p() { podman --tmpdir "$root/tmp" "$@"; }
# For `timeout` and `script`, which want a program.
printf '#!/bin/sh\nexec podman --tmpdir %s/tmp "$@"\n' "$root" >"$root/p"
chmod +x "$root/p"
p=$root/p
p import -q "$root/busybox.tar" bb >/dev/null
once="$p run --rm --network none"

expect 'podman knows the runtime' 0 podvisor-oci $p info
expect 'run' 0 '^hi$' $once bb echo hi
expect 'exit code' 7 '' $once bb sh -c 'exit 7'
expect 'no such command' 127 'executable file not found' $once bb nope
expect 'not executable' 126 'permission denied' $once bb /etc/passwd
expect 'a folder is no command' 126 'is a directory' $once bb /etc
expect 'terminal' 0 '/dev/pts/0$' "$root/terminal" "$once -it bb tty"
expect 'init' 0 '1 root .*init -- ps' $once --init bb ps
expect 'descriptors are passed on' 0 '^hello$' sh -c "echo hello | $once --preserve-fds 1 bb sh -c 'cat <&3' 3<&0"
expect 'time limit' 255 '' $once --timeout 4 bb sleep 100
expect 'no cgroups' 0 '^hi$' $once --cgroups disabled bb echo hi
expect 'no cgroups: exec, kill, remove' 0 '^in$' sh -c "$p run -d --name n --network none --cgroups disabled bb sleep 1000
  $p exec n echo in; $p kill n; $p rm -f -t 0 n"

expect 'detached' 0 '' $p run -d --name a --network none bb sleep 1000
expect 'exec' 0 '^in$' $p exec a echo in
expect 'exec: exit code' 9 '' $p exec a sh -c 'exit 9'
expect 'exec: no such command' 127 'executable file not found' $p exec a nope
expect 'exec: terminal' 0 '/dev/pts/0$' "$root/terminal" "$p exec -it a tty"
expect 'exec: user, folder, variable' 0 '^uid=1.* /tmp Y$' \
  $p exec --user 1 -w /tmp -e X=Y a sh -c 'echo $(id) $(pwd) $X'
expect 'exec: privileged' 0 '000001ff' $p exec --privileged a grep CapEff /proc/self/status
expect 'exec: detached' 0 '' $p exec -d a touch /detached
until_ok $p exec a test -e /detached || failed=1
expect 'cp' 0 '' $p cp "$root/storage.conf" a:/copied
expect 'diff' 0 '' $p diff a
expect 'update' 0 '' $p update --memory 100m --cpus 0.5 a
expect 'update: in force' 0 '^104857600$' $p exec a cat $memory_max
expect 'top' 0 'sleep 1000' $p top a
expect 'stats' 0 '^a [0-9.]+[kM]B / ' $p stats --no-stream --format '{{.Name}} {{.MemUsage}}' a
expect 'pause' 0 '^a$' $p pause a
expect 'paused' 0 '^paused$' $p inspect -f '{{.State.Status}}' a
expect 'unpause' 0 '^a$' $p unpause a
expect 'kill with a harmless signal' 0 '^a$' $p kill -s WINCH a
expect 'restart' 0 '^a$' $p restart -t 0 a
expect 'stop' 0 '^a$' $p stop -t 1 a
expect 'stopped by KILL' 0 '^137$' $p inspect -f '{{.State.ExitCode}}' a
expect 'start again' 0 '^a$' $p start a
expect 'kill' 0 '^a$' $p kill a
expect 'wait' 0 '^137$' $p wait a
expect 'remove' 0 '^a$' $p rm a
expect 'remove a running one' 0 '^b$' sh -c "$p run -d --name b --network none bb sleep 1000 >/dev/null; $p rm -f -t 0 b"
expect 'init, then start' 0 '^x$' \
  sh -c "$p create --name i --network none bb echo x; $p init i; $p start -a i; $p rm i"
expect 'logs' 0 '^(out err|err out)$' sh -c "$p run -d --name l --network none bb sh -c 'echo out; echo err >&2' >/dev/null
  $p wait l >/dev/null; echo \$($p logs l 2>&1); $p rm l >/dev/null"

expect 'health check fails' 1 'unhealthy|^$' sh -c "$p run -d --name h --network none --health-cmd 'test -e /ok' \
  --health-interval disable bb sleep 1000 >/dev/null 2>&1; $p healthcheck run h"
expect 'health check passes' 0 '' sh -c "$p exec h touch /ok; $p healthcheck run h"
expect 'health check goes' 0 '^h$' $p rm -f -t 0 h

ns="sh -c 'cd /proc/self/ns; readlink net; readlink ipc; readlink uts; readlink pid'"
expect 'pod' 0 '' $p pod create --name pod
expect 'pod: members' 0 '' sh -c "$p run -d --pod pod --name p1 bb sleep 1000; $p run -d --pod pod --name p2 bb sleep 1000"
expect 'pod: net, IPC and UTS shared, pids not' 0 '^5$' sh -c "{ $p exec p1 $ns; $p exec p2 $ns; } | sort -u | wc -l"
expect 'pod: pause' 0 '' sh -c "$p pod pause pod && $p pod unpause pod"
expect 'pod: stop and remove' 0 '' sh -c "$p pod stop -t 0 pod && $p pod rm pod"
expect 'pod: shared pids' 0 'catatonit|pause' sh -c "$p pod create --name pids --share pid,net >/dev/null
  $p run --rm --pod pids bb ps; code=\$?; $p pod rm -f -t 0 pids >/dev/null; exit \$code"
pod_limits='/sys/fs/cgroup/memory/*/*/memory.limit_in_bytes'
[ ! $v2 ] || pod_limits='/sys/fs/cgroup/*/*/memory.max'
expect 'pod: limits' 0 '^67108864$' sh -c "$p pod create --name limited --memory 64m --cpus 0.5 >/dev/null
  $p run --rm --pod limited bb cat $memory_max >$root/own
  cat $pod_limits; $p pod rm -f -t 0 limited >/dev/null"
cat >"$root/pod.yaml" <<'END'
apiVersion: v1
kind: Pod
metadata: {name: kp}
spec:
  containers:
  - name: one
    image: localhost/bb
    command: [sh, -c, "echo hello; sleep 1000"]
    resources: {limits: {memory: 64Mi, cpu: "0.5"}}
    volumeMounts: [{name: v, mountPath: /v}]
  - name: two
    image: localhost/bb
    command: [sleep, "1000"]
    securityContext: {runAsUser: 1, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}
    volumeMounts: [{name: v, mountPath: /v}]
  volumes: [{name: v, emptyDir: {}}]
END
expect 'kube play' 0 'Containers:' $p kube play "$root/pod.yaml"
until_ok sh -c "$p logs kp-one | grep -q hello" || failed=1
expect 'kube play: logs' 0 '^hello$' $p logs kp-one
expect 'kube play: security context' 0 '^uid=1.*0000000000000000' \
  $p exec kp-two sh -c 'echo $(id) $(grep CapEff /proc/self/status)'
expect 'kube down' 0 'Pods removed' $p kube down "$root/pod.yaml"

echo hello >"$root/vol/f"
expect 'volume: read-only' 1 '^hello$' $once -v "$root/vol:/v:ro" bb sh -c 'cat /v/f; touch /v/g'
expect 'volume: named' 0 '^g$' sh -c "$once -v named:/v bb touch /v/g; $once -v named:/v bb ls /v"
expect 'tmpfs and shm' 0 '^1024 2048$' \
  $once --tmpfs /t:size=1m --shm-size 2m bb sh -c 'echo $(df /t /dev/shm | awk "NR>1{print \$2}")'
expect 'user and groups' 0 'uid=1\(daemon\) gid=1\(daemon\) groups=.*29' $once --user 1:1 --group-add 29 bb id
expect 'user namespace' 0 '0 +100000 +1000' $once --uidmap 0:100000:1000 bb cat /proc/self/uid_map
expect 'read-only' 1 'Read-only' $once --read-only bb touch /x
expect 'memory' 0 '^33554432$' $once --memory 32m bb cat $memory_max
expect 'killed for memory' 0 '^137$' sh -c "$p run --name oom --network none --memory 16m bb \
  dd if=/dev/zero of=/dev/null bs=64M count=1; $p inspect -f '{{.State.ExitCode}}' oom; $p rm oom"
shares=/sys/fs/cgroup/cpu/cpu.shares of_512=512
# The weight of 512 shares by the formula of old and by that of newer runtimes.
[ ! $v2 ] || { shares=/sys/fs/cgroup/cpu.weight; of_512='(20|59)'; }
expect 'other limits' 0 "^20 0 $half_a_cpu $of_512\$" $once --cpus 0.5 --cpu-shares 512 --pids-limit 20 --cpuset-cpus 0 bb \
  sh -c "echo \$(cat $pids_max $cpus $cpu_max $shares)"
expect 'no capabilities' 0 '0000000000000000' $once --cap-drop all bb grep CapEff /proc/self/status
expect 'one capability more' 0 '0000000000001000' \
  $once --cap-drop all --cap-add net_admin bb grep CapEff /proc/self/status
expect 'no new privileges' 0 '1$' $once --security-opt no-new-privileges bb grep NoNewPrivs /proc/self/status
expect 'seccomp' 0 '2$' $once bb grep Seccomp: /proc/self/status
expect 'no seccomp' 0 '0$' $once --security-opt seccomp=unconfined bb grep Seccomp: /proc/self/status
expect 'a mask' 0 '^0$' $once --security-opt mask=/home bb sh -c 'ls /home | wc -l'
expect 'privileged' 0 'ffff.*pts/ptmx' $once --privileged bb sh -c 'echo $(grep CapEff /proc/self/status; ls -l /dev/ptmx)'
expect 'device, limit, sysctl, name' 0 'crw.* 100 1000 me$' $once --device /dev/fuse --ulimit nofile=100:200 \
  --ulimit nproc=100:100 --sysctl kernel.msgmax=1000 --hostname me bb \
  sh -c 'echo $(ls -l /dev/fuse; ulimit -n; cat /proc/sys/kernel/msgmax; hostname)'
expect 'folder, variable, umask, OOM score' 0 '^/tmp B 0077 100$' $once -w /tmp -e A=B --umask 0077 \
  --oom-score-adj 100 bb sh -c 'echo $(pwd) $A $(umask; cat /proc/self/oom_score_adj)'
expect "the host's namespaces" 0 "^$(cd /proc/self/ns && echo $(readlink net ipc uts pid cgroup) | sed 's/[][]/./g')$" \
  $p run --rm --network host --ipc host --uts host --pid host --cgroupns host bb \
  sh -c 'cd /proc/self/ns; echo $(for n in net ipc uts pid cgroup; do readlink $n; done)'
expect 'bridge' 0 'inet 10\.88\.' $p run --rm bb ip addr show eth0
expect 'nothing is left' 0 '^0$' sh -c "$p ps -aq | wc -l"
p pod rm -fa >/dev/null 2>&1
p rm -fa -t 0 >/dev/null 2>&1
verdict
