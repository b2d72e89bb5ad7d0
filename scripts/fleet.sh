#!/bin/bash
# SPDX-License-Identifier: MIT
# fleet.sh [SUBMISSIONS]: a broker on loopback, two workers, and a client that judges so many submissions (1000). All of it ends with it.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
scripts/deps.sh fleet || exit 1
make --no-print-directory -s all || exit 1
SANDBOX_RUNSC=$(find_runsc) || exit 1
export SANDBOX_RUNSC LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;"
work=$(mktemp -d /tmp/sandbox-fleet.XXXXXX) || exit 1
chmod 711 "$work" # guests of root's sandboxes are other users here
pids=()
finish() {
  for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap finish EXIT
trap 'exit 130' INT TERM
# A port that nobody has.
port=$(lua5.4 -e 'local s = assert(require "socket".bind("127.0.0.1", 0)) print((select(2, s:getsockname())))')
redis-server --port "$port" --bind 127.0.0.1 --dir "$work" --save '' --appendonly yes --maxmemory-policy noeviction >"$work/redis.log" 2>&1 &
pids+=($!)
for i in 1 2; do
  lua5.4 bin/sandbox worker --redis "redis://127.0.0.1:$port/0" --queue judge --slots "$(nproc)" --state-dir "$work/state-$i" --lease 60 \
    --timeout 10 --memory 256M --metrics "$work/metrics-$i" &
  pids+=($!)
done
lua5.4 examples/fleet/judge.lua "redis://127.0.0.1:$port/0" judge "${1:-1000}" &
client=$!
pids+=("$client")
wait -n -p ended "${pids[@]}"
status=$?
[ "$ended" = "$client" ] || die "the broker or a worker has ended: $(tail -n 3 "$work/redis.log")"
exit "$status"
