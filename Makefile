# SPDX-License-Identifier: Apache-2.0
# A short front for Meson. Variables: BUILD (directory), MESON_FLAGS, PREFIX, DESTDIR,
# TESTS (arguments for tests/run, for example TESTS='pipe --mode plain'), BENCH (arguments for
# tests/bench/run, for example BENCH=--quick), FUZZ (arguments for tests/fuzz/run).
BUILD ?= build
PREFIX ?= /usr/local
MESON_FLAGS ?=
TESTS ?=
BENCH ?=
FUZZ ?=
VM ?=
# Freezing somebody else's process takes root.
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || echo sudo)
export LC_ALL := C.UTF-8

.PHONY: all demo test test-asan test-vm bench fuzz install lint lint-all check-headers format clean deps-build deps-test deps-bench deps-fuzz

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)

$(BUILD)/build.ninja:
	meson setup --prefix=$(PREFIX) $(MESON_FLAGS) $(BUILD)

deps-build:
	@tools/deps.sh build
deps-test:
	@tools/deps.sh test
deps-bench:
	@tools/deps.sh bench
deps-fuzz:
	@tools/deps.sh fuzz

demo: deps-test
	$(MAKE) all
	$(SUDO) demo/run $(BUILD)/torpor

# Unit tests without root, then behaviour tests, which dump and restore for real.
test: deps-test
	$(MAKE) all
	tools/run_tests.py --sudo "$(SUDO)" $(BUILD) $(TESTS)

# The unit tests again, with the address and undefined behaviour sanitizers.
test-asan: deps-build
	$(MAKE) all BUILD=$(BUILD)-asan \
		MESON_FLAGS="$(MESON_FLAGS) -Db_sanitize=address,undefined -Db_lundef=false"
	tools/run_tests.py --unit-only $(BUILD)-asan

# On another kernel, Debian's 6.1 (fetched with apt-get, not installed), in an emulated machine; takes
# qemu-system-x86. VM='--kernel FILE --tracker NAME' tries another kernel.
test-vm:
	$(MAKE) all
	tests/vm/run --build $(BUILD) $(VM)

# Each command beside the plain kernel work of the same run; tables, and plots in $(BUILD)/bench.
bench: deps-bench
	$(MAKE) all
	$(SUDO) tests/bench/run $(BENCH) $(BUILD)/torpor

# Each reader of bytes for some seconds, from the corpus in the tree: FUZZ='--seconds 600 json'.
fuzz: deps-fuzz
	$(MAKE) all
	tests/fuzz/run --build $(BUILD) $(FUZZ)

install: deps-build
	$(MAKE) $(BUILD)/build.ninja
	meson configure -Dprefix=$(PREFIX) $(BUILD)
	$(MAKE) all
	meson install --no-rebuild -C $(BUILD)

# Layers, sizes, forbidden calls, ...: needs nothing but python3.
lint:
	tools/lint.py

# And clang-format, cppcheck, codespell, shellcheck.
lint-all:
	tools/lint.py --all

# Each header compiles alone.
check-headers: $(BUILD)/build.ninja
	tools/lint.py --headers $(BUILD)

format:
	git ls-files 'src/*.[ch]' 'tests/*.[ch]' | xargs clang-format -i

clean:
	rm -rf $(BUILD) $(BUILD)-asan
