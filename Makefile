# Everything that a person does with this project, one word each. `make` alone lists the words.
#
# Each word does its own set-up: nothing has to be installed by hand but rustup, Python 3 (with venv) and make.
# What may be set from outside: ENVOY_BIN, REDIS_SERVER_BIN, WRK_BIN, CHROMIUM_BIN, CARGO_TARGET_DIR, IMAGE; ARGS for
# `make run` (other ports, --concurrency), `make bench` (--rounds), and `make test-django` and `make test-services`, which
# hand them to pytest (--junitxml=FILE); CONFIG for `make check`.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

WASM_TARGET := wasm32-wasip1
MODULE := dist/rest_sessions_filter.wasm
VENV := .venv/.installed
# What optimises the module (https://github.com/WebAssembly/binaryen).
BINARYEN := .tools/module/.installed
BINARYEN_BIN := .tools/module/node_modules/binaryen/bin
# What the service on Node in docs/guides/services.md needs.
SERVICES := .tools/services/.installed
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The image that envoy/istio names; another registry: `make image IMAGE=registry.internal/sessions:1`.
IMAGE ?= registry.example.com/rest-sessions-filter:$(VERSION)

CARGO_TARGET_DIR ?= $(CURDIR)/target
# Where crates are: the paths of their sources stand in panic messages, and must not say where the module was built.
CARGO_HOME ?= $(HOME)/.cargo
ENVOY_BIN ?= $(CURDIR)/.venv/bin/envoy
# The redis-server that is installed, else the one of a wheel.
REDIS_SERVER_BIN ?= $(shell command -v redis-server 2>/dev/null)
ifeq ($(REDIS_SERVER_BIN),)
  REDIS_SERVER_BIN := $(CURDIR)/.venv/bin/redis-server
  REDIS := .venv/.redis-installed
endif
# The wrk that is installed, else Debian's, unpacked below this folder.
WRK_BIN ?= $(shell command -v wrk 2>/dev/null)
ifeq ($(WRK_BIN),)
  WRK_BIN := $(CURDIR)/.tools/wrk/wrk
  WRK := .tools/wrk/wrk
endif
# The first browser that is installed and starts: on Ubuntu, one of the names is a hint to install it otherwise. Looked
# for when it is asked for, since it may have been installed by then.
CHROMIUM_BIN ?= $(shell for name in chromium chromium-browser google-chrome google-chrome-stable; do \
  $$name --version >/dev/null 2>&1 && command -v $$name && break; done)
export CARGO_TARGET_DIR ENVOY_BIN REDIS_SERVER_BIN

.PHONY: help
help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-10s %s\n", $$1, $$2 }'

.PHONY: build
build: $(MODULE) ## the filter: dist/rest_sessions_filter.wasm, the module that Envoy loads

.PHONY: test
test: lint test-rust test-deploy test-browser test-django test-services ## every test, with all that they need: lint, Rust, real Envoy and browser, README

.PHONY: run
run: $(MODULE) $(VENV) programs ## a real Envoy with the filter before a login and a shop, for your browser; Ctrl-C ends it
	@exec .venv/bin/python envoy/run.py --envoy "$$ENVOY_BIN" --programs "$$CARGO_TARGET_DIR/debug" $(ARGS)

.PHONY: bench
bench: $(MODULE) $(VENV) .venv/.bench-installed $(REDIS) $(WRK) bench-noop bench-peers ## the filter beside what else could do its work, in some 10 minutes
	@exec .venv/bin/python -m bench --envoy "$$ENVOY_BIN" --redis-server "$$REDIS_SERVER_BIN" \
	  --peers "$$CARGO_TARGET_DIR/peers/bench-peers" --rest-sessions "$$CARGO_TARGET_DIR/peers/rest-sessions" \
	  --noop "$$CARGO_TARGET_DIR/$(WASM_TARGET)/sdk/bench_noop.wasm" --wrk "$(WRK_BIN)" $(ARGS)

.PHONY: simulate
simulate: | toolchain ## the cache on a virtual clock: 1 to 10,000 Envoys, with every ttl, in some two minutes
	cargo run --quiet --profile peers --locked --package simulate

.PHONY: screenshot
screenshot: $(MODULE) $(VENV) .venv/.browser-installed programs chromium ## the picture of the demo that README shows
	@CHROMIUM_BIN="$(CHROMIUM_BIN)" .venv/bin/python tests/browser/screenshot.py

.PHONY: validate
validate: $(MODULE) $(VENV) ## let Envoy check envoy/envoy.yaml, the filter's configuration included
	"$$ENVOY_BIN" --mode validate --log-level warning -c envoy/envoy.yaml

# What is checked, if nothing else is said.
CONFIG ?= envoy/envoy.yaml

.PHONY: check
check: | toolchain ## say what is wrong with a configuration, without an Envoy: CONFIG=FILE, in JSON or YAML
	@cargo run --quiet --locked --package session-filter -- check "$(CONFIG)"

.PHONY: schema
schema: | toolchain ## write the configuration's JSON Schema anew: cli/schema.json
	cargo run --quiet --locked --package session-filter -- schema > cli/schema.json.new
	mv cli/schema.json.new cli/schema.json

.PHONY: image
image: $(MODULE) ## the OCI image with the module, as Istio pulls it (docker or buildah; IMAGE=name:tag)
	@if docker info >/dev/null 2>&1; then tool=docker; \
	elif command -v buildah >/dev/null 2>&1; then tool=buildah; \
	else echo "make image: needs docker with its engine running, or buildah; neither was found" >&2; exit 1; fi; \
	set -x; $$tool build --tag "$(IMAGE)" --file envoy/module/Dockerfile dist

.PHONY: lint
lint: toolchain ## formatting, clippy (native and wasm), rustdoc
	@{ cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package rest-sessions-filter --package rest-sessions-core --lib --target $(WASM_TARGET) --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

.PHONY: clean
clean: ## remove all that was built or installed here
	rm -rf target dist .venv .tools .pytest_cache django/.mypy_cache
	find bench envoy tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: test-rust
test-rust: $(MODULE) $(VENV) $(REDIS) programs
	cargo test --workspace --locked

.PHONY: test-deploy
test-deploy: $(MODULE) $(VENV) programs bench-noop
	.venv/bin/python -m pytest -ra tests/deploy

.PHONY: test-browser
test-browser: $(MODULE) $(VENV) .venv/.browser-installed programs chromium
	CHROMIUM_BIN="$(CHROMIUM_BIN)" .venv/bin/python -m pytest -ra tests/browser

# The package by itself, its types, and its sessions through a real Envoy.
.PHONY: test-django
test-django: $(MODULE) $(VENV) .venv/.django-installed programs
	cd django && $(CURDIR)/.venv/bin/python -m mypy
	.venv/bin/python -m pytest -ra --rootdir . django/tests tests/services/test_django.py $(ARGS)

# The services that docs/guides/services.md shows, and the guide for those that come from django-rest-sessions.
.PHONY: test-services
test-services: $(MODULE) $(VENV) .venv/.django-installed .venv/.services-installed $(SERVICES) programs
	.venv/bin/python -m pytest -ra tests/services --ignore=tests/services/test_django.py $(ARGS)

# Installed where that can be done without asking anybody; where not, the tests of the browser are skipped and say why.
.PHONY: chromium
chromium:
	@if [ -z "$(CHROMIUM_BIN)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  export DEBIAN_FRONTEND=noninteractive; set -x; apt-get update --quiet=2; \
	  apt-get install --yes --quiet=2 --no-install-recommends chromium fonts-dejavu-core || true; fi

# The session server and the demo's services. Cargo knows best whether they are up to date.
.PHONY: programs
programs: | toolchain
	cargo build --workspace --bins --locked

# The SDK's filter that does nothing, as it ships: with every callback that it exports, optimised for speed.
.PHONY: bench-noop
bench-noop: | toolchain
	cargo build --profile sdk --locked --package bench-noop --target $(WASM_TARGET)

.PHONY: bench-peers
bench-peers: | toolchain
	cargo build --profile peers --locked --package bench-peers --package rest-sessions --bins

# Optimising for size leaves nearly every function a call (LLVM's threshold is 5), and each that a request goes through
# may be out of the processor's cache by the next one. Up to here more inlining costs little; from 44 on it costs much.
INLINE := "-Cllvm-args=--inline-threshold=40"

# The cdylib alone: with an rlib beside it, link-time optimisation is dropped without a word.
# What the compiler leaves exports every callback of the SDK, and Envoy would call each of them, for each request: only
# what envoy/module/exports.json names stays, with the code that it reaches. Optimising all of it as one is what the
# compiler cannot do: the module becomes smaller and faster at once.
$(MODULE): Makefile Cargo.toml Cargo.lock rust-toolchain.toml envoy/module/exports.json core/Cargo.toml $(shell find core/src src -name '*.rs') $(BINARYEN) \
  | toolchain
	cargo rustc --release --locked --package rest-sessions-filter --lib --crate-type cdylib --target $(WASM_TARGET) \
	  --config 'target.$(WASM_TARGET).rustflags=["--remap-path-prefix=$(CARGO_HOME)=/cargo", $(INLINE)]'
	@mkdir -p dist
	@.venv/bin/node $(BINARYEN_BIN)/wasm-metadce "$$CARGO_TARGET_DIR/$(WASM_TARGET)/release/rest_sessions_filter.wasm" \
	  --graph-file envoy/module/exports.json --output $@.new >/dev/null
	@.venv/bin/node $(BINARYEN_BIN)/wasm-opt $@.new --merge-similar-functions -O3 --converge --strip-producers --strip-target-features --output $@.new
	@mv $@.new $@
	@echo "$@: $$(wc -c < $@) bytes"

# rust-toolchain.toml names the compiler and the target; a rustup that installs nothing by itself is asked to.
.PHONY: toolchain
toolchain:
	@command -v cargo >/dev/null 2>&1 || \
	  { echo "make: cargo is missing; install rustup from https://rustup.rs" >&2; exit 1; }
	@rustc --version >/dev/null 2>&1 || rustup toolchain install
	@test -d "$$(rustc --print sysroot)/lib/rustlib/$(WASM_TARGET)" || rustup target add $(WASM_TARGET) || \
	  { echo "make: Rust's target $(WASM_TARGET) is missing; rustup (https://rustup.rs) can install it" >&2; exit 1; }

.venv/.created:
	@command -v python3 >/dev/null 2>&1 || \
	  { echo "make: python3 is missing; install Python 3.10 or later" >&2; exit 1; }
	@python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo "make: $$(python3 --version) is too old; install Python 3.10 or later" >&2; exit 1; }
	@python3 -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "make: Python's venv module is missing; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	python3 -m venv --clear .venv
	@touch $@

.venv/.installed: tests/requirements.txt
.venv/.redis-installed: tests/requirements-redis.txt
.venv/.bench-installed: bench/requirements.txt
.venv/.browser-installed: tests/browser/requirements.txt
.venv/.node-installed: envoy/module/requirements.txt
.venv/.django-installed: django/requirements.txt
.venv/.services-installed: tests/services/requirements.txt
.venv/.installed .venv/.redis-installed .venv/.bench-installed .venv/.browser-installed .venv/.node-installed \
.venv/.django-installed .venv/.services-installed: .venv/.created
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(filter %.txt,$^)
	@touch $@

$(BINARYEN): envoy/module/package.json envoy/module/package-lock.json
$(SERVICES): tests/services/package.json tests/services/package-lock.json
# npm installs below the folder of a package.json. It wants to find node by its name.
$(BINARYEN) $(SERVICES): .venv/.node-installed
	@mkdir -p $(@D)
	@cp $(filter %.json,$^) $(@D)
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/npm ci --prefix $(@D) --no-audit --no-fund --ignore-scripts --silent
	@touch $@

# wrk is to be had as a package of the system's alone. Debian and Ubuntu hand packages out without root, with the one
# library that it needs and that a system without it lacks.
.tools/wrk/wrk:
	@command -v apt-get >/dev/null 2>&1 && command -v dpkg >/dev/null 2>&1 || \
	  { echo "make bench: wrk is missing; install it with your system's packages (https://github.com/wg/wrk)" >&2; exit 1; }
	@mkdir -p $(@D)
	cd $(@D) && apt-get download wrk $$(apt-cache depends wrk | sed -n 's/.*Depends: \(libluajit.*\)/\1/p' | head -n 1) \
	  || { echo "make bench: wrk cannot be downloaded; as root: apt-get update && apt-get install wrk" >&2; exit 1; }
	@cd $(@D) && for package in *.deb; do dpkg-deb --extract $$package . || exit 1; done
	@printf '#!/bin/sh\nLD_LIBRARY_PATH="$$(echo %s/usr/lib/*-linux-gnu)" exec %s/usr/bin/wrk "$$@"\n' "$(CURDIR)/$(@D)" "$(CURDIR)/$(@D)" > $@
	@chmod +x $@
