# All of the project's commands; `make` lists them.

SHELL := bash
.SHELLFLAGS := -o pipefail -c
GO ?= go
# How many passes, and how long each benchmark runs in one.
COUNT ?= 7
BENCHTIME ?= 300ms
# Which benchmarks.
BENCH ?= .
FUZZTIME ?= 1m
# How many minutes the soak takes, and how many recorded histories and random programs.
MINUTES ?= 5
HISTORIES ?= 20000
# How many simulations of the cluster's protocol.
SEEDS ?= 20000
CLIENT := occupancyhttp/client
# How many nodes, their changes a second in all, and how long they are measured.
NODES ?= 100
CHANGES ?= 10000
DURATION ?= 30s
LINT_VERSION := v2.15.0
MODULES := $(sort $(patsubst %/,%,$(dir $(shell find . -name go.mod -not -path "./.bin/*" -not -path "*/node_modules/*"))))

.PHONY: help
help:
	@echo 'make test   all tests of all modules, with the race detector'
	@echo 'make bench  the benchmarks, each beside its floor, and their ratios (BENCH=pattern for some)'
	@echo 'make compare  the engine beside hubs, concurrent maps and libraries, for internal/bench/results and the README: some 8 minutes'
	@echo 'make fuzz   every fuzz target, FUZZTIME=$(FUZZTIME) each'
	@echo 'make soak   full load and then rest, MINUTES=$(MINUTES), HISTORIES=$(HISTORIES) recorded histories and random programs,'
	@echo '            and SEEDS=$(SEEDS) simulations of the cluster'
	@echo 'make cluster-faults  five chats that count together are killed, stopped and split, and what it took: some 2 minutes'
	@echo 'make arch   the tests of the engine on 386 and arm64, and with 1, 2 and 16 processors'
	@echo 'make cluster-load  what NODES=$(NODES) nodes on NATS cost with CHANGES=$(CHANGES) a second, DURATION=$(DURATION)'
	@echo 'make lint   gofmt, go vet and golangci-lint'

.PHONY: test
test: tools $(CLIENT)/node_modules/.package-lock.json
	CGO_ENABLED=1 $(GO) test -race -timeout 10m work

# The race detector needs a C compiler, the browser client's tests Node, the chat page's a
# browser. Without the latter two their tests say that they are skipped; under CI=true they fail.
.PHONY: tools
tools:
	@command -v $(GO) >/dev/null || { echo 'Go is missing: see https://go.dev/doc/install' >&2; exit 1; }
	@command -v cc >/dev/null || command -v gcc >/dev/null || .ci/install gcc libc6-dev
	@command -v npm >/dev/null || .ci/install nodejs npm || test "$$CI" != true
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null || \
		.ci/install chromium || test "$$CI" != true

# The compiler and the minifier that the browser client is tested with, as its lock file pins them.
$(CLIENT)/node_modules/.package-lock.json: $(CLIENT)/package-lock.json | tools
	@! command -v npm >/dev/null || (cd $(CLIENT) && npm ci --no-audit --no-fund) || test "$$CI" != true

# Passes by turns, so that a benchmark and its floor run close to one another.
.PHONY: bench
bench:
	@$(GO) test -c -o .bin/occupancy.test .
	@for i in $$(seq $(COUNT)); do \
		echo "pass $$i of $(COUNT)" >&2; \
		.bin/occupancy.test -test.run '^$$' -test.bench "$(BENCH)" -test.benchtime $(BENCHTIME) || exit 1; \
	done | $(GO) run ./internal/ratios

# What a lock-free step relies on differs between processors, and what interleaves
# differs with their number. Needs an amd64 machine, for 386. Where arm64 is emulated its
# memory is ordered as the machine's that emulates it: run it on arm64 to see more.
.PHONY: arch
arch: tools
	CGO_ENABLED=1 $(GO) test -race -short -cpu 1,2,16 . ./internal/verify
	CGO_ENABLED=0 GOARCH=386 $(GO) test -short . ./internal/verify
	@if command -v qemu-aarch64-static >/dev/null || .ci/install qemu-user-static; then \
		CGO_ENABLED=0 GOARCH=arm64 $(GO) test -short -exec qemu-aarch64-static . ./internal/verify; \
	else \
		echo 'arm64: built, but not run' >&2; \
		CGO_ENABLED=0 GOARCH=arm64 $(GO) test -c -o .bin/ . ./internal/verify; \
	fi

.PHONY: bench-once
bench-once:
	$(GO) test -run '^$$' -bench . -benchtime 1x work
	$(GO) run ./internal/bench/cmd/compare -short

# Peers by turns, all works; see internal/bench/doc.go.
.PHONY: compare
compare:
	$(GO) run ./internal/bench/cmd/compare -out internal/bench/results -readme README.md

.PHONY: fuzz
fuzz:
	@for dir in . cluster; do \
		for target in $$(cd $$dir && $(GO) test -list '^Fuzz' . | grep '^Fuzz'); do \
			(cd $$dir && $(GO) test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) .) || exit 1; \
		done; \
	done

.PHONY: soak
soak:
	$(GO) run ./internal/verify/soak -minutes $(MINUTES)
	cd internal/verify && $(GO) test -count=1 -timeout 1h . -histories $(HISTORIES) -rapid.checks $(HISTORIES)
	cd cluster && $(GO) test -count=1 -timeout 0 -run '^TestSimulation_EndsExact$$' . -sim.seeds $(SEEDS)

.PHONY: cluster-faults
cluster-faults:
	@cd examples/chat && $(GO) test -count=1 -run '^TestClusterFaults$$' -args -faults

# Two nodes at rest, and then many under load, on a NATS server in its own process.
.PHONY: cluster-load
cluster-load:
	@cd cluster/natscluster && $(GO) build -o $(CURDIR)/.bin/load ./load
	@.bin/load -idle -duration $(DURATION)
	@echo
	@.bin/load -nodes $(NODES) -changes $(CHANGES) -duration $(DURATION)

.PHONY: lint
lint: .bin/golangci-lint-$(LINT_VERSION)
	@files=$$(gofmt -l .); test -z "$$files" || { echo "not gofmt-ed: $$files" >&2; exit 1; }
	$(GO) vet work
	@for m in $(MODULES); do echo "golangci-lint $$m"; (cd $$m && $(CURDIR)/$< run --allow-parallel-runners ./...) || exit 1; done

.bin/golangci-lint-$(LINT_VERSION):
	GOBIN=$(CURDIR)/.bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)
	mv .bin/golangci-lint $@

# Each module as its user gets it: alone, without the workspace, and tidy.
.PHONY: alone
alone:
	GOARCH=386 $(GO) vet .
	GOARCH=arm64 $(GO) vet .
	@for m in $(MODULES); do echo "alone: $$m"; \
		(cd $$m && GOWORK=off $(GO) build ./... && GOWORK=off $(GO) vet ./... && GOWORK=off $(GO) mod tidy -diff) || exit 1; \
	done
