#!/bin/sh
# docker with podvisor-oci from its table of runtimes. Without a bridge: this needs no iptables.
. "$(dirname "$0")/judge.sh"
hide /run /opt /etc/docker
snippet docker/daemon.json >"$root/daemon.json"
dockerd --config-file "$root/daemon.json" --default-runtime podvisor --iptables=false --ip6tables=false --bridge=none \
  --ip-forward=false --ip-masq=false -H "unix://$root/docker.sock" --data-root "$root/data" --exec-root "$root/exec" \
  -p "$root/docker.pid" >"$root/docker.log" 2>&1 &
daemon=$!
d="/usr/bin/docker -H unix://$root/docker.sock"
until_ok $d version || { tail "$root/docker.log"; exit 1; }
"$here/../../rootfs/busybox/recipe.sh" "$root/busybox.tar"
$d import "$root/busybox.tar" bb >/dev/null
once="$d run --rm --network none"

expect 'docker knows the runtime' 0 'Default Runtime: podvisor' $d info
expect 'run' 0 '^hi$' $once bb echo hi
expect 'by its name' 0 '^hi$' $once --runtime podvisor bb echo hi
expect 'exit code' 7 '' $once bb sh -c 'exit 7'
expect 'no such command' 127 'executable file not found' $once bb nope
expect 'not executable' 126 'permission denied' $once bb /etc/passwd
expect 'terminal' 0 '/dev/pts/0$' "$root/terminal" "$once -it bb tty"
expect 'init' 0 '1 root .*docker-init' $once --init bb ps
expect "the host's network" 0 '' $d run --rm --network host bb true
expect 'limits' 0 "^67108864 50 $half_a_cpu\$" $once --memory 64m --cpus 0.5 --pids-limit 50 bb \
  sh -c "echo \$(cat $memory_max $pids_max $cpu_max)"
expect 'security' 0 '^1 0000000000000000 1 2$' $once --user 1:1 --cap-drop all --security-opt no-new-privileges \
  bb sh -c 'echo $(id -u; awk "/CapEff|NoNewPrivs|Seccomp:/{print \$2}" /proc/self/status)'
# docker asks for every capability that the kernel knows, which no runtime can give where one is missing.
if [ "$(sed -n 's/^CapBnd:.*\(..........\)$/\1/p' /proc/self/status)" = ffffffffff ]; then
  expect 'privileged' 0 'ffff' $once --privileged bb grep CapEff /proc/self/status
else
  expect 'privileged, without all capabilities' 125 'set capabilities' $once --privileged bb true
fi
expect 'read-only' 1 'Read-only' $once --read-only bb touch /x
expect 'volume' 0 '^made$' sh -c "$once -v named:/v bb touch /v/made; $once -v named:/v bb ls /v"
expect 'tmpfs' 0 '^tmpfs' $once --tmpfs /t bb grep /t /proc/mounts

expect 'detached' 0 '' $d run -d --name one --network none --memory 64m bb sleep 1000
expect 'exec' 0 '^in$' $d exec one echo in
expect 'exec: exit code' 9 '' $d exec one sh -c 'exit 9'
expect 'exec: no such command' 126 'executable file not found' $d exec one nope
expect 'exec: terminal' 0 '/dev/pts/0$' "$root/terminal" "$d exec -it one tty"
expect 'exec: privileged user' 0 '^uid=1' $d exec --user 1 -w /tmp one id
expect 'cp' 0 '' $d cp "$root/daemon.json" one:/copied
expect 'update' 0 '^one$' $d update --memory 100m --memory-swap 200m one
expect 'update: in force' 0 '^104857600$' $d exec one cat $memory_max
expect 'top' 0 'sleep 1000' $d top one
expect 'stats' 0 '^one .* / 100MiB' $d stats --no-stream --format '{{.Name}} {{.MemUsage}}' one
expect 'pause' 0 '^one$' $d pause one
expect 'paused' 0 '^paused$' $d inspect -f '{{.State.Status}}' one
expect 'unpause' 0 '^one$' $d unpause one
expect 'kill with a harmless signal' 0 '^one$' $d kill -s WINCH one
expect 'restart' 0 '^one$' $d restart -t 0 one
expect 'stop' 0 '^one$' $d stop -t 1 one
expect 'stopped by KILL' 0 '^137$' $d inspect -f '{{.State.ExitCode}}' one
expect 'remove' 0 '^one$' $d rm one
expect 'logs' 0 '^(out err|err out)$' sh -c "$d run -d --name log --network none bb sh -c 'echo out; echo err >&2' >/dev/null
  $d wait log >/dev/null; echo \$($d logs log 2>&1); $d rm log >/dev/null"
# The shim begins to watch the cgroup a while after the start, and may hear of the end first.
expect 'killed for memory' 0 '^137 true$' sh -c "for i in 1 2; do
  $d run --name oom --network none --memory 16m bb sh -c 'sleep 1; exec dd if=/dev/zero of=/dev/null bs=64M count=1'
  s=\$($d inspect -f '{{.State.ExitCode}} {{.State.OOMKilled}}' oom); echo \$s; $d rm oom
  [ \"\$s\" != '137 true' ] || break; done"
expect 'health check' 0 '^healthy$' sh -c "$d run -d --name well --network none --health-cmd true \
  --health-interval 1s bb sleep 1000 >/dev/null; for i in \$(seq 100); do s=\$($d inspect -f '{{.State.Health.Status}}' well)
  [ \$s = healthy ] && break; sleep 0.1; done; echo \$s; $d rm -f well >/dev/null"
expect 'restart policy' 0 '^2$' sh -c "$d run -d --name again --restart on-failure:2 --network none bb false >/dev/null
  for i in \$(seq 100); do n=\$($d inspect -f '{{.RestartCount}}' again); [ \$n = 2 ] && break; sleep 0.1; done
  echo \$n; $d rm -f again >/dev/null"
expect 'nothing is left' 0 '^0$' sh -c "$d ps -aq | wc -l"
kill $daemon
wait $daemon
verdict
