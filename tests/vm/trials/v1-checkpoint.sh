# machine: kernel=noble cgroup=v1
# Checkpoint and restore where all controllers are v1's.
. /added/checkpoint.sh
