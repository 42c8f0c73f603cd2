# podvisor: `make help` lists what there is. `make check` needs no root; what runs pods, installs
# packages or writes below PREFIX does.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# Before Rust is installed nobody can be asked for the target: it is Debian's.
TRIPLE  := $(shell rustc -vV 2>/dev/null | sed -n 's/^host: //p')
TRIPLE  := $(or $(TRIPLE),$(shell uname -m)-unknown-linux-gnu)
OUT     := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
BIN     := $(OUT)/$(TRIPLE)/release
TOOLS   := $(CURDIR)/.tools/bin
PREFIX  ?= /usr/local
DESTDIR ?=
FUZZ_SECONDS ?= 60
export PATH := $(TOOLS):$(HOME)/.cargo/bin:$(PATH)
export PODVISOR_BIN := $(abspath $(BIN))
export PODVISOR_TEST_CACHE := $(abspath $(OUT))/cache

.PHONY: help deps deps-run deps-fuzz deps-order deps-deny build build-real run check test unit privileged race conformance judges engines images vm vm-all fuzz bench bench-scale order install clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

# --- what the machine needs -------------------------------------------------------------------
# Each list is Debian package names; a package that is there costs nothing.
PACKAGES_RUN  := gcc libc6-dev make git curl ca-certificates iproute2 util-linux
PACKAGES_TEST := $(PACKAGES_RUN) binutils busybox-static cpio kmod nftables nginx-light procps strace \
  qemu-system-x86 crun runc skopeo umoci hyperfine python3 mmdebstrap uidmap docker-registry openssl zstd
PACKAGES_ENGINES := podman conmon containernetworking-plugins catatonit containerd docker.io python3-grpcio buildah libcap2-bin
PACKAGES_BENCH := $(PACKAGES_TEST) $(PACKAGES_ENGINES) libseccomp-dev pkg-config isal

deps-run: rust
	@packaging/apt.sh $(PACKAGES_RUN)

.PHONY: rust
rust:
	@packaging/rust.sh

deps: rust ## install all that build, tests and benchmarks need, from Debian packages; starts no service
	@packaging/apt.sh $(PACKAGES_BENCH)

deps-fuzz: rust
	@packaging/apt.sh $(PACKAGES_RUN) g++ tar

deps-order: rust
	@packaging/apt.sh $(PACKAGES_RUN) binutils busybox-static python3

deps-deny:
	@cargo deny --version >/dev/null 2>&1 || cargo install --quiet --debug --locked --root .tools cargo-deny

# --- the programs -----------------------------------------------------------------------------
build: rust ## build both static programs (release)
	cargo build --release --bin podvisor --bin podvisor-oci -p podvisor -p oci-cli
	@ls -l $(BIN)/podvisor $(BIN)/podvisor-oci | awk '{print "  " $$9, int($$5/1024) " KiB"}'

run: deps-run build ## the demo: image, 3-replica web Deployment, two-container pod; Ctrl-C cleans up
	@rootfs/demo/run.sh $(BIN)

install: build ## install both programs and the systemd unit below PREFIX (and DESTDIR)
	install -D -m 755 $(BIN)/podvisor $(DESTDIR)$(PREFIX)/bin/podvisor
	install -D -m 755 $(BIN)/podvisor-oci $(DESTDIR)$(PREFIX)/bin/podvisor-oci
	sed 's|/usr/local|$(PREFIX)|' packaging/podvisor.service | \
	  install -D -m 644 /dev/stdin $(DESTDIR)$(PREFIX)/lib/systemd/system/podvisor.service
	install -D -m 644 LICENSE $(DESTDIR)$(PREFIX)/share/doc/podvisor/LICENSE

# --- the ladder -------------------------------------------------------------------------------
check: deps-deny ## format, lints, bans, layers, tidiness, pure tests; no root, two minutes
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --quiet -- -D warnings
	cargo clippy --release --quiet -p child --features program --bin child -- -D warnings
	cargo deny --log-level error check bans licenses sources
	cargo test --quiet --test house
	cargo test --quiet -p oci -p pod -p sim

test: deps check build unit privileged conformance engines images vm ## all that CI runs (root)

unit: ## every crate's own tests, the privileged ones in scopes of their own (root)
	cargo test --quiet --workspace --exclude podvisor --exclude oci-cli
	cargo test --quiet -p oci-cli --bins

privileged: build ## the whole product on the real kernel, each test in its own scope (root)
	cargo test --test e2e
	cargo test --test registry
	cargo test --test build
	cargo test --test hostile
	cargo test --test privileged

race: build ## exchange what containers are made of while they are made, 20,000 a scenario (root)
	PODVISOR_RACE_ROUNDS=$${PODVISOR_RACE_ROUNDS:-20000} cargo test --test privileged race:: -- --nocapture --test-threads=1

conformance: build ## the same cases on podvisor-oci, runc and crun, three columns (root)
	cargo test -p oci-cli --test conformance -- --nocapture

engines: build ## podman, containerd and docker with podvisor-oci as their runtime (root)
	cargo build --quiet -p scope
	tests/engines/run.sh $(BIN) $(OUT)/$(TRIPLE)/debug/scope

images: build ## images out and in beside skopeo, umoci, podman, buildah, containerd, docker (root)
	cargo build --quiet -p scope
	tests/images/run.sh $(BIN) $(OUT)/$(TRIPLE)/debug/scope

judges: build ## runc's, crun's and runtime-tools' own suites on podvisor-oci and on their runtime (root, half an hour)
	cargo build --quiet -p scope
	tests/judges/run.sh $(BIN) $(OUT)/$(TRIPLE)/debug/scope $(PODVISOR_TEST_CACHE)

build-real: build ## build and run a Rust program, Debian's nginx, a Python service (root, network)
	cargo build --quiet -p scope
	tests/build/real/run.sh $(BIN) $(OUT)/$(TRIPLE)/debug/scope $(PODVISOR_TEST_CACHE)

vm: build ## boot Debian's kernel on pure cgroup v2: podvisor as PID 1, conformance cases, trials, systemd (root)
	tests/vm/run.sh $(BIN) $(PODVISOR_TEST_CACHE)
	tests/vm/conformance.sh $(BIN) $(PODVISOR_TEST_CACHE)
	tests/vm/conformance.sh $(BIN) $(PODVISOR_TEST_CACHE) --peers v2:
	tests/vm/trials.sh $(BIN) $(PODVISOR_TEST_CACHE) checkpoint network stuck limits apparmor selinux
	tests/vm/systemd/run.sh $(BIN) $(PODVISOR_TEST_CACHE)

vm-all: build ## there, too: every case on podvisor-oci, runc and crun, engines, attacks; pure cgroup v1 (root, slow)
	VM_TIMEOUT=5400 tests/vm/conformance.sh $(BIN) $(PODVISOR_TEST_CACHE) --peers
	VM_TIMEOUT=2400 tests/vm/engines.sh $(BIN) $(PODVISOR_TEST_CACHE)
	tests/vm/trials.sh $(BIN) $(PODVISOR_TEST_CACHE) checkpoint-options checkpoint-rare rdma cores v1 v1-checkpoint
	VM_TIMEOUT=2400 tests/vm/privileged.sh $(BIN) $(PODVISOR_TEST_CACHE)

fuzz: deps-fuzz ## each target of tests/fuzz under libFuzzer for a minute (FUZZ_SECONDS=60, root)
	cargo build --quiet -p scope
	FUZZ_SECONDS=$(FUZZ_SECONDS) tests/fuzz/run.sh $(OUT)/fuzz $(abspath $(OUT)/$(TRIPLE)/debug/scope)

bench: deps build ## medians beside crun, runc, podman, skopeo+umoci in one run (root)
	tests/bench/run.sh $(BIN) $(PODVISOR_TEST_CACHE)

order: deps-order build ## src/oci-cli/order.ld anew: which functions the linker puts beside one another (root)
	cargo build --quiet -p scope
	gcc -O2 -o $(OUT)/steps tests/bench/steps.c
	$(OUT)/$(TRIPLE)/debug/scope python3 tests/bench/order.py $(BIN)/podvisor-oci $(OUT)/steps src/oci-cli/order.ld

bench-scale: build ## load of images from 50 MB to 5 GB and 300,000 files (root)
	tests/bench/run.sh $(BIN) $(PODVISOR_TEST_CACHE) scale

clean: ## remove what was built
	cargo clean
