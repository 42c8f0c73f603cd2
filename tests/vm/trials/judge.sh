# What trials say and wait by. `oci` is podvisor-oci with a root of its own; `config` writes a
# config.json whose command is the text, changed by a Python statement about `c`; `limited` runs it as
# `l` with these resources, and `out` is its output. `cgroup` is where a container's cgroup is.
oci() { /added/podvisor-oci --root /run/trial "$@"; }
judge() { # WHAT COMMAND...
  what=$1
  shift
  if "$@" >/run/said 2>&1; then echo "ok $what"; else
    echo "FAIL $what: $*"
    head -c 3000 /run/said
    echo
  fi
}
says() { # PATTERN COMMAND...
  pattern=$1
  shift
  "$@" 2>&1 | tee /run/says | grep -Eq -e "$pattern" || { cat /run/says; return 1; }
}
within() { # SECONDS COMMAND...
  left=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    left=$((left - 1))
    [ $left -gt 0 ] || return 1
    sleep 0.1
  done
}
quietly() { # COMMAND...: its output is neither a pipe nor a file of the trial's
  "$@" </dev/null >/run/out 2>&1 || { cat /run/out; return 1; }
}
# A file to which a container writes one number after another.
last() { tail -n 1 "$1" 2>/dev/null | grep . || echo 0; }
more_than() { [ "$(last "$1")" -gt "$2" ]; }
counts() { a=$(last "$1"); within 10 more_than "$1" "$a"; }
pid() { oci state "$1" | sed -n 's/.*"pid": \([0-9]*\).*/\1/p'; }
gone() { oci state "$1" 2>&1 | grep -q 'does not exist' && [ ! -e "$(cgroup memory "$1")" ]; }
is() { oci state "$2" | grep -q "\"status\": \"$1\""; }
config() { # COMMAND [STATEMENT]
  python3 - "$@" <<'END'
import json
import sys

with open("/added/bundle/config.json") as file:
    c = json.load(file)
c["process"].update({"terminal": False, "args": ["sh", "-c", sys.argv[1]]})
c["process"].pop("rlimits", None)
c["root"]["readonly"] = False
exec(sys.argv[2] if len(sys.argv) > 2 else "")
with open("config.json", "w") as file:
    json.dump(c, file)
END
}
limited() { # COMMAND RESOURCES [STATEMENT]
  config "$1" "c['linux']['resources'] = $2
${3:-}"
  oci run -d l >out 2>&1
}
holds() { within 5 is stopped l; grep -qx "$1" out || { cat out; return 1; }; }
refused() { # FIELD RESOURCES
  ! limited true "$2" && grep -q "linux.resources.$1" out
}
cgroup() { # CONTROLLER ID
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then echo "/sys/fs/cgroup/$2"; else echo "/sys/fs/cgroup/$1/$2"; fi
}
