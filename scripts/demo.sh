#!/bin/bash
# SPDX-License-Identifier: MIT
# From a fresh clone to a table of verdicts: what is missing is installed (root), built, and two examples run.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
scripts/deps.sh demo || exit 1
make --no-print-directory -s DEV=1 all || exit 1
SANDBOX_RUNSC=$(find_runsc) || exit 1
export SANDBOX_RUNSC LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;"
echo "runsc: $SANDBOX_RUNSC ($("$SANDBOX_RUNSC" --version | sed -n 's/^runsc version //p'))"
for example in hello judge; do
  printf '\n== examples/%s.lua\n' "$example"
  lua5.4 "examples/$example.lua" || exit 1
done
