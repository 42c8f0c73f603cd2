#!/bin/bash
# In the root of root.sh: the suites' own programs, with Debian's Go packages.
set -euo pipefail
export GO111MODULE=off GOPATH=/go:/usr/share/gocode GOCACHE=/go/cache GOTELEMETRY=off HOME=/root
export PATH=/usr/lib/go/bin:/usr/sbin:/usr/bin:/sbin:/bin
ours=/go/src/github.com/opencontainers
mkdir -p $ours
ln -sfn /src/runc $ours/runc
ln -sfn /src/runtime-tools $ours/runtime-tools
cd $ours/runc/
for folder in tests/cmd/*/; do
  [ "$folder" = tests/cmd/_bin/ ] || go build -tags seccomp -o "tests/cmd/_bin/$(basename "$folder")" "./$folder"
done
cd $ours/runtime-tools/
# A name that the library of today has elsewhere.
sed -i 's,label.FileLabel,selinux.FileLabel,; s,selinux/go-selinux/label",selinux/go-selinux",' cmd/runtimetest/main.go
go build -o oci-runtime-tool ./cmd/oci-runtime-tool
CGO_ENABLED=0 go build -installsuffix cgo -o runtimetest ./cmd/runtimetest
for program in $(find validation -name '*.go' -not -path '*/util/*'); do
  go build -o "${program%.go}.t" "./$program"
done
: >/src/crun/config.h
gcc -O2 -static -w -I/src/crun -DHAVE_SECCOMP -DHAVE_LINUX_IOPRIO_H -DHAVE_ERROR_H \
  -o /src/crun/tests/init /src/crun/tests/init.c
