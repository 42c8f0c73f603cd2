# machine: lsm=apparmor
# AppArmor: run and exec take profiles on, which confine.
mkdir -p /run/a && cd /run/a && cp -a /added/bundle/rootfs .
echo one >rootfs/one && echo two >rootfs/two
mount -t securityfs securityfs /sys/kernel/security
for name in one two; do
  echo "profile trial-$name flags=(attach_disconnected) {
    file, capability, network, unix, signal, ptrace, mount, umount, pivot_root,
    deny /$name r,
  }"
done >/run/profiles
judge 'profiles' apparmor_parser --skip-cache --replace /run/profiles
look='cat /proc/self/attr/current; cat /one; cat /two'

judge 'features tell of it' says '^true$' sh -c \
  '/added/podvisor-oci features | python3 -c "import json, sys; print(str(json.load(sys.stdin)[\"linux\"][\"apparmor\"][\"enabled\"]).lower())"'
config "$look" 'c["process"]["apparmorProfile"] = "trial-one"'
judge 'run: its profile' says '^trial-one \(enforce\)$' oci run a
judge 'run: what is denied' says "can't open '/one': Permission denied" oci run a
judge 'run: what is not' says '^two$' oci run a
config "$look" 'c["process"]["apparmorProfile"] = "unconfined"'
judge 'unconfined' says '^unconfined$' oci run a
config "$look" 'c["process"]["apparmorProfile"] = "trial-one"; c["process"]["noNewPrivileges"] = False'
judge 'new privileges: its profile' says '^trial-one \(enforce\)$' oci run a
config "$look" '
c["process"]["apparmorProfile"] = "trial-one"
c["linux"]["namespaces"].append({"type": "user"})
c["linux"]["uidMappings"] = c["linux"]["gidMappings"] = [{"containerID": 0, "hostID": 0, "size": 65536}]'
judge 'a user namespace: its profile' says '^trial-one \(enforce\)$' oci run a

config 'sleep 1000' 'c["process"]["apparmorProfile"] = "trial-one"'
judge 'run -d' quietly oci run -d a
judge 'exec: the profile of the container' says '^trial-one \(enforce\)$' oci exec a sh -c "$look"
judge 'exec: what that denies' says "can't open '/one': Permission denied" oci exec a sh -c "$look"
judge 'exec: another profile' says '^trial-two \(enforce\)$' oci exec --apparmor trial-two a sh -c "$look"
judge 'exec: what the other denies' says "can't open '/two': Permission denied" oci exec --apparmor trial-two a sh -c "$look"
judge 'exec: and what it does not' says '^one$' oci exec --apparmor trial-two a sh -c "$look"
echo '{"cwd": "/", "user": {"uid": 0, "gid": 0}, "args": ["cat", "/proc/self/attr/current"], "apparmorProfile": "trial-two"}' >/run/process
judge 'exec: that of its process file' says '^trial-two \(enforce\)$' oci exec -p /run/process a
judge 'exec: one that is not loaded' says 'apparmorProfile .*nobody.*: no such file' oci exec --apparmor nobody a true
judge 'exec: and what to do' says 'apparmor_parser' oci exec --apparmor nobody a true
judge 'the container goes on' is running a
judge 'delete' oci delete --force a

# criu gives what it makes anew the profile that it had, or another. The shell's own descriptors stay what
# they were, for they are looked at before criu stops it.
config 'while :; do (cat /one /two >/dev/null 2>/failed); sleep 0.1; done' 'c["process"]["apparmorProfile"] = "trial-one"'
fails() { rm -f rootfs/failed && within 10 grep -q "/$1" rootfs/failed; }
judge 'checkpoint: run' quietly oci run -d a
judge 'checkpoint: what is denied' fails one
judge 'checkpoint: done' oci checkpoint --image-path /run/a1 a
judge 'checkpoint: restore' quietly oci restore --image-path /run/a1 -d a
judge 'checkpoint: the same profile' fails one
judge 'checkpoint: again' oci checkpoint --image-path /run/a2 a
judge 'checkpoint: restore with another' quietly oci restore --lsm-profile apparmor:trial-two --image-path /run/a2 -d a
judge 'checkpoint: the other profile' fails two
judge 'checkpoint: delete' oci delete --force a
config true 'c["process"]["apparmorProfile"] = "nobody"'
judge 'run: one that is not loaded' says 'apparmorProfile .*nobody.*: no such file' oci run a
judge 'run: and what to do' says 'apparmor_parser' oci run a
judge 'nothing is left' gone a

# CVE-2019-16884, CVE-2023-28642: a /proc of the image, where a profile would be written to nothing.
# Red when a profile is written beneath the root, or /proc by a link is mounted on.
config "$look" 'c["process"]["apparmorProfile"] = "trial-one"'
rm -rf rootfs/proc && mkdir -p rootfs/fake/self/attr/apparmor rootfs/fake/thread-self/attr/apparmor && ln -s fake rootfs/proc
touch rootfs/fake/thread-self/attr/apparmor/exec rootfs/fake/self/attr/apparmor/exec
judge '/proc is a link: refused' sh -c '. /added/judge.sh; ! oci run a'
rm rootfs/proc && mv rootfs/fake rootfs/proc
config 'cat /one' 'c["process"]["apparmorProfile"] = "trial-one"; c["mounts"] = [m for m in c["mounts"] if m["destination"] != "/proc"]'
judge '/proc is a folder of the image: what is denied' says "can't open '/one': Permission denied" oci run a
judge 'and nothing is written there' sh -c '! [ -s rootfs/proc/thread-self/attr/apparmor/exec ]'
judge 'nothing is left' gone a
