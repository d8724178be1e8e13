# The commands of the project; `make` lists them.

SHELL := bash
.SHELLFLAGS := -o pipefail -c
GO ?= go
# bench: the number of passes, the time that each benchmark runs in a pass, and a pattern of benchmarks.
COUNT ?= 7
BENCHTIME ?= 300ms
BENCH ?= .
# fuzz: the time for each target.
FUZZTIME ?= 1m
# soak: MINUTES under load; the number of recorded HISTORIES and of random programs; the number of simulated clusters (SEEDS);
# the number of FAULTS of each explored schedule of a cluster.
MINUTES ?= 5
HISTORIES ?= 20000
SEEDS ?= 20000
FAULTS ?= 3
# curve: the folder of its results.
CURVE ?= .bin/curve
# cluster-faults, cluster-load: the BUS, nats or redis.
BUS ?= nats
# cluster-load: the number of nodes, their changes per second in total, and the measured time.
NODES ?= 100
CHANGES ?= 10000
DURATION ?= 30s
# cluster-load: how the nodes exchange counts: mesh, or aggregators.
MODE ?= mesh
# cluster-scale: flags, for example SCALE='-mode mesh -nodes 100' or SCALE=-users.
SCALE ?=
LINT_VERSION := v2.15.0
VULN_VERSION := v1.7.0
CLIENT := internal/clientchecks
MODULES := $(sort $(patsubst %/,%,$(dir $(shell find . -name go.mod -not -path "./.bin/*" -not -path "*/node_modules/*"))))
RELEASE := $(GO) run ./internal/release

.PHONY: help
help:
	@echo 'make test            run all tests of all modules with the race detector, and then consumers'
	@echo 'make consumers       use each module from another module, as after a release'
	@echo 'make lint            run gofmt, go vet and golangci-lint'
	@echo 'make alone           build each module with its own go.mod, without the workspace'
	@echo 'make arch            test the engine on 386 and arm64, and with 1, 2 and 16 processors'
	@echo 'make api             compare the API of every public package with the golden files'
	@echo 'make api-update      rewrite these golden files'
	@echo 'make vuln            search the public modules for known vulnerabilities'
	@echo 'make fuzz            run every fuzz target for FUZZTIME=$(FUZZTIME)'
	@echo 'make soak            test under load for MINUTES=$(MINUTES), then check HISTORIES=$(HISTORIES) recorded histories'
	@echo '                     and SEEDS=$(SEEDS) simulations of the cluster, and explore every schedule with FAULTS=$(FAULTS) faults'
	@echo 'make bench           run the benchmarks and print their ratios (BENCH=pattern selects some)'
	@echo 'make bench-once      run each benchmark once, to check that it works'
	@echo 'make compare         compare the engine with other implementations, and update the published results: 11 minutes'
	@echo 'make curve           draw the time of Join and Leave at 1, 2, 4, … goroutines, and write it to CURVE=$(CURVE): 1 minute'
	@echo 'make cluster-faults  run five chat servers as a cluster on BUS=$(BUS); kill, stop and disconnect them: 2 minutes'
	@echo 'make cluster-load    measure NODES=$(NODES) nodes on BUS=$(BUS) with MODE=$(MODE) and CHANGES=$(CHANGES) per second for DURATION=$(DURATION)'
	@echo 'make cluster-scale   simulate 1,000 nodes with aggregators in virtual time, with the flags SCALE="$(SCALE)": 1 minute'
	@echo 'make release         write VERSION=v1.2.3 into the modules and the changelog, and print the commands to tag it'

.PHONY: test
test: tools $(CLIENT)/node_modules/.package-lock.json
	CGO_ENABLED=1 $(GO) test -race -timeout 20m work
	$(RELEASE) consumers

# Publishes the current files as a release in a temporary git repository, uncommitted
# changes included. Then, for each public module, it creates a new module outside this
# repository, runs go get there, and runs the examples of the public module. It installs
# the chat server with go install.
.PHONY: consumers
consumers: tools
	$(RELEASE) consumers

# The race detector needs a C compiler, the browser client's tests need Node, the chat
# page's tests need Chromium, the alert rules' tests need promtool, and the tests of the Bus on
# Redis need redis-server. Without one of these its tests are skipped; with CI=true they fail.
.PHONY: tools
tools:
	@command -v $(GO) >/dev/null || { echo 'Go is missing: see https://go.dev/doc/install' >&2; exit 1; }
	@command -v git >/dev/null || .ci/install git
	@command -v cc >/dev/null || command -v gcc >/dev/null || .ci/install gcc libc6-dev
	@command -v npm >/dev/null || .ci/install nodejs npm || test "$$CI" != true
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		.ci/install chromium || test "$$CI" != true
	@command -v promtool >/dev/null || .ci/install prometheus || test "$$CI" != true
	@command -v redis-server >/dev/null || .ci/install redis-server || test "$$CI" != true

# The compiler and the minifier for the browser client's tests, in the versions of its lock file.
$(CLIENT)/node_modules/.package-lock.json: $(CLIENT)/package-lock.json | tools
	@! command -v npm >/dev/null || (cd $(CLIENT) && npm ci --no-audit --no-fund) || test "$$CI" != true

# Each pass runs all benchmarks, so a benchmark and its floor run shortly after one another.
.PHONY: bench
bench:
	@$(GO) test -c -o .bin/occupancy.test .
	@for i in $$(seq $(COUNT)); do \
		echo "pass $$i of $(COUNT)" >&2; \
		.bin/occupancy.test -test.run '^$$' -test.bench "$(BENCH)" -test.benchtime $(BENCHTIME) || exit 1; \
	done | $(GO) run ./internal/ratios

# Lock-free code depends on the processor's memory model, and its interleavings on the
# number of processors. 386 needs an amd64 machine. An emulated arm64 has the memory
# order of the machine that emulates it: only arm64 hardware tests the memory order of arm64.
ENGINE := . ./internal/promises ./internal/verify
.PHONY: arch
arch: tools
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m -cpu 1,2,16 $(ENGINE)
	CGO_ENABLED=0 GOARCH=386 $(GO) test -short -timeout 20m $(ENGINE)
	@if command -v qemu-aarch64-static >/dev/null || .ci/install qemu-user-static; then \
		CGO_ENABLED=0 GOARCH=arm64 $(GO) test -short -timeout 20m -exec qemu-aarch64-static $(ENGINE); \
	else \
		echo 'arm64: the tests compile, but were not run: qemu-aarch64-static is missing' >&2; \
		CGO_ENABLED=0 GOARCH=arm64 $(GO) test -c -o .bin/ $(ENGINE); \
	fi

.PHONY: bench-once
bench-once:
	$(GO) test -run '^$$' -bench . -benchtime 1x work
	$(GO) run ./internal/bench/cmd/compare -short

# internal/bench/doc.go describes the comparison.
.PHONY: compare
compare:
	$(GO) run ./internal/bench/cmd/compare -out internal/bench/results -page docs/benchmarks.md

# docs/benchmarks.md says how to read the curve.
.PHONY: curve
curve:
	$(GO) run ./internal/bench/cmd/compare -workloads '^join\+leave/rooms=(1|1000)$$' -implementations 'counts|sync.Map|xsync' -out $(CURVE)
	@echo "Written to $(CURVE): curve-1000-rooms.svg, curve-1-room.svg, and the table compare.md"

# Finds the targets in every module, and runs them one after another, each in the directory of its package.
.PHONY: fuzz
fuzz:
	@grep -r --include='*_test.go' --exclude-dir=node_modules -oE '^func Fuzz\w+' . | sort | \
	while IFS=: read -r file target; do \
		dir=$$(dirname "$$file") target=$${target#func }; \
		echo "$$dir: $$target"; \
		(cd "$$dir" && $(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) . </dev/null) || exit 1; \
	done

.PHONY: soak
soak:
	$(GO) run ./internal/verify/soak -minutes $(MINUTES)
	cd internal/verify && $(GO) test -count=1 -timeout 1h . -histories $(HISTORIES) -rapid.checks $(HISTORIES)
	cd cluster && $(GO) test -count=1 -timeout 0 -run '^Test(Simulation|Explore)_' ./internal/core -sim.seeds $(SEEDS) -sim.mutants -explore.faults $(FAULTS)

.PHONY: cluster-faults
cluster-faults: broker
	@cd examples/chat && $(GO) test -count=1 -run '^TestClusterFaults$$/^$(BUS)$$' -args -faults

.PHONY: broker
broker:
	@test '$(BUS)' != redis || command -v redis-server >/dev/null || .ci/install redis-server

# Measures two idle nodes, and then many under load, with a server in a process of its own.
.PHONY: cluster-load
cluster-load: broker
	@$(GO) build -o .bin/load ./internal/bench/cmd/load
	@.bin/load -bus $(BUS) -idle -duration $(DURATION)
	@echo
	@.bin/load -bus $(BUS) -mode $(MODE) -nodes $(NODES) -changes $(CHANGES) -duration $(DURATION)

# docs/scale.md describes the measurement.
.PHONY: cluster-scale
cluster-scale:
	@cd cluster && $(GO) run ./internal/scale $(SCALE)

.PHONY: lint
lint: .bin/golangci-lint-$(LINT_VERSION)
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not formatted with gofmt: $$files" >&2; exit 1; }
	$(GO) vet work
	@for m in $(MODULES); do \
		echo "golangci-lint $$m"; \
		(cd $$m && $(CURDIR)/$< run -c $(CURDIR)/.ci/golangci.yml --allow-parallel-runners ./...) || exit 1; \
	done

.bin/golangci-lint-$(LINT_VERSION):
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .bin/golangci-lint $@

# alone means without the workspace: checks that each module builds with its own go.mod and go.sum instead of the
# workspace's, and that they are tidy. Required modules of this repository are still
# replaced by their directories. examples/chat has no replace directives, so
# that go install accepts it. It cannot be built without the workspace before its
# requirements are published, so `make consumers` builds it.
.PHONY: alone
alone:
	GOARCH=386 $(GO) vet .
	GOARCH=arm64 $(GO) vet .
	@for m in $(filter-out ./examples/chat,$(MODULES)); do \
		echo "alone: $$m"; \
		(cd $$m && GOWORK=off $(GO) build ./... && GOWORK=off $(GO) vet ./... && GOWORK=off $(GO) mod tidy -diff) || exit 1; \
	done

# Fails if a vulnerability is found, and not if the database cannot be reached.
.PHONY: vuln
vuln: .bin/govulncheck-$(VULN_VERSION)
	@packages=$$($(RELEASE) packages) && .ci/vuln $< $$packages

.bin/govulncheck-$(VULN_VERSION):
	GOBIN=$(CURDIR)/.bin $(GO) install golang.org/x/vuln/cmd/govulncheck@$(VULN_VERSION)
	mv .bin/govulncheck $@

.PHONY: api api-update
api:
	$(RELEASE) api
api-update:
	$(RELEASE) api-update

# .github/CONTRIBUTING.md describes the steps of a release.
.PHONY: release
release:
	@$(RELEASE) prepare "$(VERSION)"
