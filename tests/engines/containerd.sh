#!/bin/sh
# containerd with podvisor-oci: the shim by `ctr run --runc-binary`, and the CRI plug-in.
. "$(dirname "$0")/judge.sh"
# containerd makes /opt/containerd whatever its configuration says.
hide /run /opt
{
  snippet containerd/config.toml | sed "s|^version = 2|&\nroot = \"$root/root\"\nstate = \"$root/state\"|"
  cat <<END
[grpc]
  address = "$root/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "docker.io/library/bb:latest"
  restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".containerd]
  snapshotter = "native"
END
} >"$root/config.toml"
containerd -c "$root/config.toml" >"$root/containerd.log" 2>&1 &
daemon=$!
c="ctr -a $root/containerd.sock"
until_ok $c version || { tail "$root/containerd.log"; exit 1; }
"$here/../../rootfs/busybox/recipe.sh" "$root/busybox.tar"
image=docker.io/library/bb:latest
"$here/image.py" "$root/busybox.tar" "$root/image.tar" $image
run="$c run --runc-binary $oci"

expect 'import' 0 'done' $c image import "$root/image.tar"
expect 'run' 0 '^hi$' $run --rm $image x1 echo hi
expect 'exit code' 7 '' $run --rm $image x2 sh -c 'exit 7'
expect 'no such command' 1 'executable file not found in \$PATH' $run --rm $image x3 nope
expect 'not executable' 1 'permission denied' $run --rm $image x3 /etc/passwd
expect 'terminal' 0 '/dev/pts/0$' "$root/terminal" "$run --rm -t $image x4 tty"
expect 'memory' 0 '^67108864$' $run --rm --memory-limit 67108864 \
  --mount type=bind,src=/sys/fs/cgroup,dst=/mnt,options=rbind:ro $image x5 \
  sh -c 'cat /mnt/memory$(sed -n "s/.*:memory://p" /proc/self/cgroup)/memory.limit_in_bytes ||
    cat /mnt/$(sed -n "s/^0:://p" /proc/self/cgroup)/memory.max || cat $0' $memory_max
expect 'privileged' 0 'ffff' $run --rm --privileged $image x6 grep CapEff /proc/self/status
expect 'read-only' 1 'Read-only' $run --rm --read-only $image x7 touch /x
expect 'seccomp' 0 '2$' $run --rm --seccomp $image x8 grep Seccomp: /proc/self/status
expect "the host's network" 0 '' $run --rm --net-host $image x9 true

# It goes on when criu interrupts a sleep.
expect 'detached' 0 '' $run -d $image a sh -c 'while :; do sleep 1000; done'
expect 'listed' 0 'a .*RUNNING' $c task ls
expect 'exec' 0 '^in$' $c task exec --exec-id e1 a echo in
expect 'exec: exit code' 9 '' $c task exec --exec-id e2 a sh -c 'exit 9'
expect 'exec: no such command' 1 'executable file not found' $c task exec --exec-id e3 a nope
expect 'exec: terminal' 0 '/dev/pts/0$' "$root/terminal" "$c task exec -t --exec-id e4 a tty"
expect 'pause' 0 '' $c task pause a
expect 'paused' 0 'a .*PAUSED' $c task ls
expect 'resume' 0 '' $c task resume a
expect 'metrics' 0 'memory.usage(_in_bytes)? +[1-9]' $c task metrics a
expect 'processes' 0 '^[1-9]' $c task ps a
# Some criu cannot start on some kernel.
if criu check >/dev/null 2>&1; then
  expect 'checkpoint' 0 'checkpoint/a' $c task checkpoint a
else
  expect 'checkpoint fails in words' 1 'criu' $c task checkpoint a
fi
expect 'and changes nothing' 0 'a .*RUNNING' $c task ls
expect 'kill' 0 '' $c task kill -s KILL a
expect 'delete' 0 '137' sh -c "until $c task ls | grep -q STOPPED; do :; done; $c task delete a"
expect 'delete the container' 0 '' $c container delete a
expect 'nothing is left' 0 '^1$' sh -c "$c task ls | wc -l"

$c -n k8s.io image import "$root/image.tar" >/dev/null
mkdir "$root/logs"
expect 'CRI' 0 '^left 0$' "$here/cri.py" "$root/containerd.sock" $image podvisor "$root/logs" $memory_max
cp "$root/said" "$root/cri"
for line in 'version containerd' 'state 1' 'exec 67108864' 'exit 9' 'updated 104857600' 'stats True' \
  'log F from the container' 'exited 137' 'left 0'; do
  expect "CRI: $line" 0 '' grep -qx "$line" "$root/cri"
done
kill $daemon
wait $daemon
verdict
