# What a person types. Everything here is a thin wrapper over cmake, ctest and npm; packages come from docker/packages.txt.
JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
install := docker/install-packages
# A folder's npm packages are as its lock file says: npm leaves this file when it is done.
npm_done := node_modules/.package-lock.json
npm_all := $(patsubst %/package-lock.json,%/$(npm_done),$(wildcard examples/*/package-lock.json tests/e2e/package-lock.json))

export ASAN_OPTIONS ?= detect_stack_use_after_return=1:strict_string_checks=1
export UBSAN_OPTIONS ?= print_stacktrace=1

.DEFAULT_GOAL := help
.PHONY: help run build test test-faults lint format docs fuzz perf-record bench bench-full bench_build clean npm
.DELETE_ON_ERROR:

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

run: build ## start the gateway with the chat example; Ctrl-C stops both
	@$(install) runtime example
	@$(MAKE) --no-print-directory -s examples/chat/$(npm_done)
	@examples/chat/start build/tidegate

build: ## build/tidegate, optimised
	@$(install) build
	@[ -f build/build.ninja ] || cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTG_TESTS=OFF
	@cmake --build build --target tidegate -j $(JOBS)

test: ## all tests, under AddressSanitizer and UBSan and then optimised
	@$(install) build runtime example unit test
	@$(MAKE) --no-print-directory -s npm
	cmake -S . -B build-asan -G Ninja -DTG_SANITIZE=ON -DTG_TESTS=ON -DTG_FAULTS=OFF -DTG_TEST_PREFIX=asan.
	cmake --build build-asan -j $(JOBS)
	cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTG_TESTS=ON -DTG_BENCH=ON -DTG_TEST_PREFIX=release.
	cmake --build build -j $(JOBS)
	@mkdir -p build-test
	@printf 'subdirs("%s" "%s")\n' "$(CURDIR)/build-asan" "$(CURDIR)/build" > build-test/CTestTestfile.cmake
	ctest --test-dir build-test -j $(JOBS) --output-on-failure --no-tests=error || tests/again build-test

test-faults: ## the registry in Redis; nodes that die, stop, are cut off and restarted, under sanitizers; FAULT_SEED=N again
	@$(install) build runtime example unit test
	@$(MAKE) --no-print-directory -s npm
	cmake -S . -B build-asan -G Ninja -DTG_SANITIZE=ON -DTG_TESTS=ON -DTG_FAULTS=ON -DTG_TEST_PREFIX=asan.
	cmake --build build-asan -j $(JOBS)
	ctest --test-dir build-asan -R 'e2e\.(cluster|redis_)|e2e-redis' --output-on-failure --no-tests=error
	TIDEGATE=$(CURDIR)/build-asan/tidegate node tests/e2e/fault_matrix.test.mjs --full $(if $(FAULT_SEED),--seed $(FAULT_SEED))
	TIDEGATE=$(CURDIR)/build-asan/tidegate node tests/e2e/fleet.test.mjs --full $(if $(FAULT_SEED),--seed $(FAULT_SEED))

lint: ## clang-format and clang-tidy over every source
	@$(install) build unit lint
	@.ci/lint

format: ## lay out every source by .clang-format
	@$(install) lint
	git ls-files '*.c' '*.h' | xargs clang-format-14 -i

docs: ## docs/configuration.md anew, from the tables that read the file
	@$(install) build unit
	@cmake -S . -B build-asan -G Ninja -DTG_SANITIZE=ON -DTG_TESTS=ON -DTG_TEST_PREFIX=asan. >/dev/null
	@cmake --build build-asan -j $(JOBS) --target test_config
	TG_UPDATE_DOCS=1 build-asan/tests/test_config

fuzz: ## every fuzz target for FUZZ_SECONDS (60) under libFuzzer
	@$(install) build unit fuzz
	@FUZZ_SECONDS=$(FUZZ_SECONDS) .ci/fuzz

perf-record: ## the instruction counts of this platform, as figures to hold later changes to
	@$(install) build unit test
	@cmake -S . -B build -G Ninja -DCMAKE_BUILD_TYPE=Release -DTG_TESTS=ON -DTG_TEST_PREFIX=release. >/dev/null
	@cmake --build build -j $(JOBS) --target perf-record

# Peers that apt does not have are left out; the tables say so.
bench_build:
	@$(install) build bench
	@$(install) bench-peers || echo "Peers are missing; going on without them." >&2
	@$(MAKE) --no-print-directory -s bench/peers/ws/$(npm_done) || echo "npm's ws is missing; going on without it." >&2
	@cmake -S . -B build-bench -G Ninja -DCMAKE_BUILD_TYPE=Release -DTG_TESTS=OFF -DTG_BENCH=ON >/dev/null
	@cmake --build build-bench -j $(JOBS) --target tidegate bench

bench: bench_build ## compare with the limit and a peer: some 9 minutes, tables, bench/results
	@bench/run build-bench

bench-full: bench_build ## every scenario, size and peer: some 26 minutes
	@bench/run build-bench --full

clean: ## remove what was built and installed here
	rm -rf build build-asan build-test build-lint build-fuzz build-bench examples/*/node_modules tests/e2e/node_modules \
	       bench/peers/*/node_modules

npm: $(npm_all)

%/$(npm_done): %/package-lock.json
	cd $* && npm ci --no-audit --no-fund --no-progress --loglevel=error
	@mkdir -p $(@D) && touch $@
