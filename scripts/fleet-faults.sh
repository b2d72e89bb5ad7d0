#!/bin/bash
# SPDX-License-Identifier: MIT
# fleet-faults.sh [ROUNDS]: everything that may befall a fleet (spec/fleet), each so many times (50), with Debian's Redis and with Valkey.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
rounds=${1:-50}
scripts/deps.sh test || exit 1
make --no-print-directory -s all || exit 1
scripts/runsc.sh 2024 >/dev/null || exit 1
scripts/valkey.sh || exit 1
failed=0
for server in redis-server "$TREE/build/valkey/valkey-server"; do
  echo "# $("$server" --version)"
  env -i PATH="$USUAL_PATH" HOME=/tmp LANG=C.UTF-8 SANDBOX_TEST_BUILD=2024 SANDBOX_TEST_FLEET_ROUNDS="$rounds" SANDBOX_TEST_REDIS="$server" \
    SANDBOX_RUNSC="$TREE/build/runsc/2024/runsc" LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" LUA_CPATH="build/5.4/?.so;;" \
    lua5.4 "$(command -v busted)" -o TAP --no-recursive spec/fleet || failed=1
done
exit $failed
