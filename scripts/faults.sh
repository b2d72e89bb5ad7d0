#!/bin/bash
# SPDX-License-Identifier: MIT
# faults.sh [-a] [SCENARIO[/SYSCALL]…]: each system call of a run's set-up and teardown fails once, in the supervisor and in the host, by strace's
# injection (spec/support/faults.lua); prints what came of each. With every errno (-a) it takes hours, with one each half of one.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
is_root || die "must be root: strace attaches to what is no child of its"
scripts/deps.sh test || exit 1
make --no-print-directory -s all && scripts/runsc.sh >/dev/null || exit 1
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
env -i PATH="$USUAL_PATH" HOME="$work" TMPDIR="$work" LANG=C.UTF-8 SANDBOX_TEST_BUILD=2024 SANDBOX_RUNSC="${SANDBOX_RUNSC:-$TREE/build/runsc/2024/runsc}" \
  LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" LUA_CPATH="build/5.4/?.so;;" lua5.4 spec/support/faults.lua "$@"
