# The front door: one command each, the same here and in continuous integration. `make help` lists them.

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 60
# more options for tests/fuzz/run, e.g. make fuzz FUZZ_OPTIONS='--seed 1 --filter envelope'
FUZZ_OPTIONS ?=
EMAILRELAY_WERROR ?= OFF
# more options for the test runner, e.g. make test TEST_OPTIONS='--filter spool'
TEST_OPTIONS ?=
# options for bench/bench.py and bench/soak.py
BENCH_OPTIONS ?=
SOAK_OPTIONS ?=
# for make install: more options for cmake, e.g. CMAKE_OPTIONS='-DCMAKE_INSTALL_PREFIX=/usr'; DESTDIR is honoured
CMAKE_OPTIONS ?=

# ccache keeps nothing beside a precompiled header without these.
export CCACHE_SLOPPINESS := pch_defines,time_macros,include_file_mtime,include_file_ctime
# Clones of the project share what has been compiled.
export CCACHE_BASEDIR := $(CURDIR)
export CCACHE_NOHASHDIR := 1

# $(call build,preset,targets)
build = cmake --preset $(1) -DEMAILRELAY_WERROR=$(EMAILRELAY_WERROR) $(CMAKE_OPTIONS) > /dev/null && \
        cmake --build build/$(1) -j $(JOBS) $(if $(2),--target $(2))

# What has threads. End-to-end tests run with the relay (tests/run.py says which).
tsan_targets := spool_test os_test net_test emailrelay
sources = $(wildcard $(shell git ls-files -co --exclude-standard 'src/*.cpp' 'src/*.hpp' 'tests/*.cpp' 'tests/*.hpp' 'bench/*.cpp'))

.PHONY: help build run reference translations deb test-package install test test-programs test-release bench soak format check-format tidy cppcheck valgrind \
        fuzz fuzz-programs fuzz-end-to-end clean
.DEFAULT_GOAL := help

help:
	@echo 'make build    the programs, optimised, in build/release/bin/'
	@echo 'make run      build, then start a relay on 127.0.0.1:10025 and say what to try'
	@echo 'make install  build and install, under /usr/local unless CMAKE_OPTIONS says otherwise'
	@echo 'make deb      Debian packages, in build/deb/'
	@echo 'make test     unit and end-to-end tests under the address, undefined-behaviour and thread sanitizers'
	@echo 'make test-release  what is installed, without sanitizers: bounds of its memory, floods, memory that runs out'
	@echo 'make test-package  Debian package and container image, built, installed and used in fresh systems; as root, takes minutes'
	@echo 'make bench    speed and costs beside Postfix and smtp-sink; a quarter of an hour (BENCH_OPTIONS="--only w2,w4 --quick")'
	@echo 'make soak     ten minutes of everything at once, while memory and descriptors are watched (SOAK_OPTIONS="--minutes 60")'
	@echo 'make reference  docs/reference.md anew, after a change to the option table'
	@echo 'make translations  po/*.po brought into step with the texts of the sources'
	@echo 'make format   lay out the sources as .clang-format says'
	@echo 'make tidy     clang-tidy over the files that differ from TIDY (default: origin/main, else the last commit)'
	@echo 'make cppcheck  cppcheck over all sources'
	@echo 'make valgrind  a short life of the relay under valgrind'
	@echo 'make fuzz     each fuzz target for FUZZ_SECONDS (default: 60)'
	@echo 'make fuzz-end-to-end  a running relay, over its sockets, for FUZZ_SECONDS'
	@echo 'make clean    remove build/'
	@echo 'Packages are installed as needed by scripts/install-deps.'

build:
	@scripts/install-deps --build
	@$(call build,release)

run:
	@scripts/install-deps --build --run
	@$(call build,release)
	@scripts/run

install: build
	@cmake --install build/release

test: test-programs
	@tests/run.py --bin-dir build/asan/bin --tsan-dir build/tsan/bin $(TEST_OPTIONS)

test-programs:
	@scripts/install-deps --build --test
	@$(call build,asan)
	@$(call build,tsan,$(tsan_targets))

# The tests that measure memory: what they allow is far less here than under sanitizers.
test-release:
	@scripts/install-deps --build --test
	@$(call build,release)
	@failed=0; for tests in test_memory.test_with_little test_hostile_floods test_hostile_next_hops test_load.test_ten_thousand; do \
	    tests/run.py --bin-dir build/release/bin --only e2e --filter $$tests || failed=1; done; exit $$failed

reference:
	@scripts/install-deps --build
	@$(call build,release,emailrelay-reference)
	@build/release/bin/emailrelay-reference markdown > docs/reference.md

translations:
	@scripts/install-deps --build
	@$(call build,release,emailrelay-reference)
	@scripts/translations build/release/bin/emailrelay-reference

deb:
	@scripts/install-deps --build --package
	@scripts/make-deb

test-package: deb
	@tests/package/run build/deb
	@tests/package/dockerfile

# build/bench is what is installed, and the programs that load and count beside it.
bench_program := build/bench/bin/emailrelay

bench:
	@scripts/install-deps --build --bench
	@$(call build,bench)
	@bench/bench.py --program $(bench_program) $(BENCH_OPTIONS)

soak:
	@scripts/install-deps --build --bench
	@$(call build,bench)
	@bench/soak.py --program $(bench_program) $(SOAK_OPTIONS)

format:
	@clang-format -i $(sources)

check-format:
	@clang-format --dry-run -Werror $(sources)

tidy:
	@scripts/install-deps --build --test
	@cmake --preset tidy > /dev/null
	@scripts/tidy $(TIDY)

cppcheck:
	@scripts/install-deps --build --test
	@scripts/cppcheck

valgrind:
	@scripts/install-deps --build --test
	@$(call build,release,emailrelay)
	@tests/valgrind --bin-dir build/release/bin

fuzz: fuzz-programs
	@tests/fuzz/run --bin-dir build/fuzz/bin --seconds $(FUZZ_SECONDS) $(FUZZ_OPTIONS)

fuzz-programs:
	@scripts/install-deps --build --test
	@$(call build,fuzz,fuzz_targets)

fuzz-end-to-end:
	@scripts/install-deps --build --test
	@$(call build,asan)
	@tests/fuzz/end_to_end.py --bin-dir build/asan/bin --seconds $(FUZZ_SECONDS)

clean:
	@rm -rf build
