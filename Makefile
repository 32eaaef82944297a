# SPDX-License-Identifier: Apache-2.0
#
# Short names for what one does here; the work is done by cmake and tools/. `make help` lists them.

.DEFAULT_GOAL := help
.PHONY: run demo test bench sim soak model install deps deps-test fuzz build clean help

BUILD := build/release
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local
GROUP ?= core
SEED ?= 1
NODES ?= 3
CONFIGURE := mkdir -p build; cmake --preset release >build/configure.log 2>&1 \
    || { cat build/configure.log; exit 1; }
NINJA := cmake --build --preset release -j $(JOBS) --target

run: deps                 ## serve the example actors on this machine (ARGS= goes to trouped)
	@$(CONFIGURE)
	@$(NINJA) trouped troupe modules
	@tools/run $(ARGS)

demo: deps                ## a real job on a cluster of NODES=3 processes (1: one node, twice)
	@$(CONFIGURE)
	@$(NINJA) troupe example_packages
	@$(BUILD)/troupe demo --nodes $(NODES) $(ARGS)

test: deps-test           ## everything that CI checks; FUZZ_SECONDS=10 SIM_SEEDS=10000 TEST_ONLY=step
	@tools/test

bench: deps               ## figures beside the raw limits of the machine (GROUP=core, state, cluster, gateway, sim)
	@$(CONFIGURE)
	@$(NINJA) all
	@tools/bench $(GROUP) $(ARGS)

sim: deps                 ## replay one simulated run (SEED=1)
	@$(CONFIGURE)
	@$(NINJA) troupe
	@$(BUILD)/troupe sim --seed $(SEED) $(ARGS)

soak: deps                ## churn far above max_actors, and memory that stays flat
	@$(CONFIGURE)
	@$(NINJA) all
	@tools/soak $(ARGS)

fuzz: deps-test           ## fuzz each parser for FUZZ_SECONDS (10)
	@TEST_ONLY=fuzz tools/test

model: deps-test          ## SPIN on the models of the protocols (LIMIT=20 seconds per row)
	@tools/model $(ARGS)

install: deps             ## headers, libraries, programs (PREFIX=/usr/local, DESTDIR=)
	@$(CONFIGURE)
	@$(NINJA) all
	@DESTDIR="$(DESTDIR)" cmake --install $(BUILD) --prefix "$(PREFIX)"

build: deps               ## the release build, all of it
	@$(CONFIGURE)
	@$(NINJA) all

deps:                     ## install what the build needs and lacks (Debian)
	@tools/deps run

deps-test:                ## install what the tests need and lack (Debian)
	@tools/deps run test

clean:                    ## remove build/
	rm -rf build

help:                     ## this list
	@awk -F ':|## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$3 }' Makefile
