#!/bin/sh
# Runs under systemd on pure cgroup v2: containers as scopes.
# Prints `ok NAME` or `FAIL NAME`, and `done` at the end.
mkdir -p /tmp /run/c
oci="podvisor-oci --systemd-cgroup"
cd /trial/bundle || exit 1

judge() { # NAME COMMAND...
  name=$1
  shift
  if "$@" >/run/said 2>&1; then echo "ok $name"; else
    echo "FAIL $name: $*"
    head -c 2000 /run/said
  fi
}
says() { # PATTERN COMMAND...
  pattern=$1
  shift
  "$@" 2>&1 | tee /run/says | grep -Eq -e "$pattern" || { cat /run/says; return 1; }
}
property() { systemctl show -p "$1" --value "$2"; }
# A config.json with this command, cgroupsPath and resources.
config() { # PATH RESOURCES COMMAND
  sed -e "s|@PATH@|$1|" -e "s|@RESOURCES@|$2|" -e "s|@COMMAND@|$3|" ../config.json >config.json
}

# Without its module: whoever may open it is told that there is no such device.
mknod rootfs/tun c 10 200

# The root is an initramfs, hence --no-pivot.
config 'web.slice:pod:one' '{"memory": {"limit": 67108864, "swap": 67108864}, "pids": {"limit": 50}, "cpu": {"shares": 2048, "quota": 50000, "period": 100000}}' 'sleep 1000'
judge 'run' $oci run --no-pivot -d one
scope=/sys/fs/cgroup/web.slice/pod-one.scope
judge 'the scope is there' says '^active$' property ActiveState pod-one.scope
judge 'in its slice' says '^web.slice$' property Slice pod-one.scope
judge 'delegated' says '^yes$' property Delegate pod-one.scope
judge 'systemd knows the memory limit' says '^67108864$' property MemoryMax pod-one.scope
judge 'systemd knows the pids limit' says '^50$' property TasksMax pod-one.scope
judge 'systemd knows the quota' says '^500ms$' property CPUQuotaPerSecUSec pod-one.scope
judge 'the kernel has the limits' says '^67108864 50 50000 100000$' \
  sh -c "cd $scope && echo \$(cat memory.max pids.max cpu.max)"
judge 'the container alone is in it' says '^1$' sh -c "wc -l <$scope/cgroup.procs"
judge 'exec' says 'pod-one.scope|^0::/$' $oci exec one cat /proc/self/cgroup
judge 'a reload of systemd changes nothing' sh -c "systemctl daemon-reload && grep -qx 50 $scope/pids.max"
judge 'and opens no device' says 'not permitted' $oci exec one cat /tun
judge 'update' $oci update --memory 100m --memory-swap 100m --pids-limit 60 one
judge 'update: systemd knows' says '^104857600$' property MemoryMax pod-one.scope
judge 'update: the kernel has it' says '^104857600 60$' sh -c "cd $scope && echo \$(cat memory.max pids.max)"
judge 'pause' $oci pause one
judge 'resume' $oci resume one
judge 'a taken name is refused' says 'UnitExists' sh -c "$oci run --no-pivot -d two; :"
judge 'and leaves the other alone' says running $oci state one
judge 'delete, soon' timeout 7 $oci delete --force one
judge 'the scope is gone' says 'not be found|^inactive$|^$' property ActiveState pod-one.scope
judge 'its cgroup is gone' sh -c "! test -e $scope"
judge 'the name is free at once' sh -c "$oci run --no-pivot -d one && $oci delete --force one && $oci run --no-pivot -d one && $oci delete --force one"
config 'web.slice:pod:tun' '{"devices": [{"allow": true, "type": "c", "major": 10, "minor": 200, "access": "r"}]}' 'cat /tun'
judge 'but one with a rule of its own' says 'No such device' sh -c "$oci run --no-pivot tun; :"
# Annotations for the config.json that is there.
annotated() { # JSON MEMBERS
  sed -i "s|\"root\": {|\"annotations\": {$1}, &|" config.json
}
config 'web.slice:pod:four' '{}' 'sleep 1000'
p=org.systemd.property
annotated "\"$p.TimeoutStopSec\": \"7\", \"$p.KillSignal\": \"10\", \"$p.CollectMode\": \"'inactive'\", \"$p.Documentation\": \"['man:one(1)', 'man:two(2)']\", \"$p.SendSIGHUP\": \"true\""
judge 'annotations: run' $oci run --no-pivot -d four
judge 'annotations: seconds' says '^7s$' property TimeoutStopUSec pod-four.scope
judge 'annotations: a number' says '^10$' property KillSignal pod-four.scope
judge 'annotations: a string' says '^inactive$' property CollectMode pod-four.scope
judge 'annotations: strings' says '^.man:one.1.. .man:two.2..$' property Documentation pod-four.scope
judge 'annotations: a flag' says '^yes$' property SendSIGHUP pod-four.scope
judge 'annotations: delete' $oci delete --force four
config 'web.slice:pod:four' '{}' true
annotated "\"$p.TimeoutStopUSec\": \"7s\""
judge 'annotations: what is no value is refused' says 'org.systemd.property.TimeoutStopUSec' $oci run --no-pivot four
config 'web.slice:pod:four' '{}' true
annotated "\"$p.NoSuchThing\": \"1\""
judge 'annotations: what systemd does not know is refused' says 'NoSuchThing' $oci run --no-pivot four
config 'nonsense' '{}' true
judge 'a plain path is refused' says 'SLICE:PREFIX:NAME' $oci run --no-pivot plain
judge 'and the id is free' says 'SLICE:PREFIX:NAME' $oci run --no-pivot plain
config '' '{}' true
judge 'to the end, at its usual place' $oci run --no-pivot three
judge 'no scope is left' says '^0$' sh -c "systemctl list-units --all --plain --no-legend '*.scope' | grep -vc '^init.scope'; :"
config 'sys.slice:x:y' '{"memory": {"limit": 16777216, "swap": 16777216}}' 'tail /dev/zero'
judge 'killed for memory' sh -c "$oci run --no-pivot oom; test \$? = 137"
judge 'a failed scope leaves its name' sh -c "$oci run --no-pivot oom; test \$? = 137"
echo done
