# Tools, pinned here and run with go run, so that go.mod names only what
# foldstream itself needs.
GOLANGCI_LINT := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.12.2
BENCHSTAT     := golang.org/x/perf/cmd/benchstat@v0.0.0-20260908200009-22c9c6c9d4da

# What can be set on the command line, such as: make fuzz FUZZTIME=10m
PKG       ?= ./...
BENCH     ?= .
BENCHTIME ?= 1s
FUZZTIME  ?= 10s
SOAKTIME  ?= 10m
EVENTS    ?= 1000000
PEERFLAGS ?=
KEYS      ?= 100000

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: test
test: need ## all tests with the race detector and a real redis-server
	CI=$${CI:-} go test -race -timeout 9m $(PKG)

.PHONY: conformance
conformance: need ## the conformance suites of all event stores, view stores and snapshot stores
	CI=$${CI:-} go test -race -run 'Conformance' ./aggregate/... ./eventstore/... ./projection/...

.PHONY: test-node
test-node: ## the official EventStoreDB client for Node, which it installs, against our server
	modules="$$(scripts/node.sh)" && \
	FOLDSTREAM_NODE_MODULES="$$modules" go test -race -count=1 -run TestNodeClient ./eventstore/esdbserver

.PHONY: fuzz
fuzz: ## every fuzz target for FUZZTIME each
	@set -e; grep -rlE --include='*_test.go' '^func Fuzz' . | while read -r file; do \
		for f in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/p' "$$file"); do \
			go test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) "$$(dirname "$$file")" </dev/null; \
		done; \
	done

.PHONY: soak
soak: ## the log store under power cuts, faults and kills for SOAKTIME
	LOGSTORE_SOAK=$(SOAKTIME) go test -v -count=1 -timeout 0 -parallel 16 -run Torture ./eventstore/logstore

.PHONY: bench
bench: need ## micro-benchmarks, then the scenarios of ./benchmarks against a real redis-server
	go test -run '^$$' -bench '$(BENCH)' -benchtime $(BENCHTIME) -benchmem $(PKG)
	go run ./benchmarks projection -events $(EVENTS) -keys $(KEYS)
	go run ./benchmarks rebuild -events $(EVENTS) -keys $(KEYS)

.PHONY: bench-peers
bench-peers: need ## the scenarios of ./benchmarks/peers: foldstream beside other Go libraries
	cd benchmarks/peers && go run . commands $(PEERFLAGS)
	cd benchmarks/peers && go run . views

.PHONY: benchstat
benchstat: ## compare two outputs of go test -bench: make benchstat OLD=a.txt NEW=b.txt
	go run $(BENCHSTAT) $(OLD) $(NEW)

.PHONY: cover
cover: need ## test coverage of all packages, in coverage.txt
	go test -timeout 9m -coverpkg=./... -coverprofile=coverage.txt ./...
	go tool cover -func=coverage.txt | tail -n 1

.PHONY: lint
lint: linter ## golangci-lint with the rules of .golangci.yml
	go run $(GOLANGCI_LINT) run

.PHONY: fmt
fmt: linter ## format all files, imports included
	go run $(GOLANGCI_LINT) fmt

.PHONY: fmt-check
fmt-check: ## fail when a file is not formatted; lint looks at the imports too
	@files="$$(gofmt -l .)" && { [ -z "$$files" ] || { echo "not formatted, run make fmt:"; echo "$$files"; exit 1; }; }

.PHONY: vet
vet: ## go vet
	go vet ./...

.PHONY: tidy
tidy: ## go.mod and go.sum as they should be
	go mod tidy

# What the tests need besides Go.
.PHONY: need
need:
	@scripts/need.sh

# Fetching and building the linter takes minutes the first time; a slow or
# stumbling network gets three attempts.
.PHONY: linter
linter:
	@for wait in 5 20 stop; do \
		if go run $(GOLANGCI_LINT) version >/dev/null; then exit 0; fi; \
		[ "$$wait" = stop ] || sleep "$$wait"; \
	done; echo "cannot build $(GOLANGCI_LINT)"; exit 1
