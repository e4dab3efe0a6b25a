#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that are missing: tools/deps.sh build|test|bench|fuzz|lint
#
# Needs root or sudo, and only if something is missing: on a machine that has it all it neither
# asks nor touches the network.
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

build="gcc libc6-dev meson ninja-build pkg-config libprotobuf-c-dev protobuf-c-compiler libjansson-dev libcmocka-dev scdoc"
# What the behaviour tests freeze and wake, and what they look with.
test="$build python3 perl xz-utils sqlite3 vim procps iproute2 strace gdb criu util-linux e2fsprogs xfsprogs btrfs-progs"
# What draws the plots of `make bench`.
bench="$test python3-matplotlib"
# The fuzzers: clang brings libFuzzer.
fuzz="$build python3 clang libclang-rt-dev"
lint="$build python3 clang-format clang-tidy cppcheck codespell shellcheck clang"

case "${1:-}" in
build) wanted=$build ;;
test) wanted=$test ;;
bench) wanted=$bench ;;
fuzz) wanted=$fuzz ;;
lint) wanted=$lint ;;
*)
	echo "usage: tools/deps.sh build|test|bench|fuzz|lint" >&2
	exit 2
	;;
esac

if ! command -v dpkg-query >/dev/null; then
	echo "tools/deps.sh: not a Debian system; make sure that there are: $wanted" >&2
	exit 0
fi
missing=
for package in $wanted; do
	if ! dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$'; then
		missing="$missing $package"
	fi
done
[ -n "$missing" ] || exit 0

sudo=
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "tools/deps.sh: run as root: apt-get install$missing" >&2
		exit 1
	fi
	sudo="sudo env LC_ALL=$LC_ALL DEBIAN_FRONTEND=$DEBIAN_FRONTEND"
fi
echo "installing:$missing"
# The lists of a fresh machine may be empty or old: fetch them only if they don't suffice.
# shellcheck disable=SC2086
if ! $sudo apt-get install -y --no-install-recommends $missing; then
	$sudo apt-get update
	$sudo apt-get install -y --no-install-recommends $missing
fi
