#!/bin/bash
# SPDX-License-Identifier: MIT
# A real nginx with one worker on a unix socket, asked from outside: requests, streaming, clients that go away, a worker killed.
set -u
dir=$1
fail() { echo "failed: $*"; tail -n 20 "$dir/logs/error.log"; exit 1; }
nginx -p "$dir/" -c "$dir/nginx.conf" &
pid=$!
trap 'kill -QUIT $pid 2>/dev/null; wait $pid' EXIT
get() { curl -s --max-time 100 --unix-socket "$dir/logs/http.sock" "$@"; }
for _ in $(seq 200); do [ "$(get http://x/fast)" = fast ] && break; read -rt 0.05 <> <(:); done
[ "$(get http://x/fast)" = fast ] || fail "nginx did not start"
# The client itself, not a shell around it: it must be what goes away.
hang() { curl -s --max-time 100 --unix-socket "$dir/logs/http.sock" http://x/hang & c=$!; }
runs() { find "$dir/state" -maxdepth 1 -name 'run-*' | wc -l; }
settled() { for _ in $(seq 400); do [ "$(runs)" = "$1" ] && return 0; read -rt 0.05 <> <(:); done; fail "$(runs) runs, not $1"; }

got=$(get http://x/serial); [ "$got" = "serial passed" ] || fail "serial: $got"
got=$(get http://x/parallel); [ "$got" = "parallel passed" ] || fail "parallel: $got"
got=$(get http://x/timer); [ "$got" = timer ] || fail "timer: $got"
got=$(get http://x/stream); [ "$got" = $'1\n2\n3\n0' ] || fail "stream: $got"
got=$(get -D - -o /dev/null http://x/phase | tr -d '\r' | sed -n 's/^X-Code: //p'); [ "$got" = wrong_phase ] || fail "phase: $got"
settled 0
for _ in 1 2 3 4 5; do hang; settled 1; kill $c; wait $c 2>/dev/null; settled 0; done
# A worker that is killed: its job goes with it, and a new worker serves.
hang
settled 1
kill -9 "$(cat "/proc/$pid/task/$pid/children" | tr -d ' ')"
wait $c
settled 0
for _ in $(seq 200); do [ "$(get http://x/fast)" = fast ] && break; read -rt 0.05 <> <(:); done
got=$(get http://x/stream); [ "$got" = $'1\n2\n3\n0' ] || fail "after the worker's death: $got"
# Stopped in the middle of a run.
hang
settled 1
kill -TERM $pid
wait $pid $c
settled 0
if grep -E 'alert|emerg|crit' "$dir/logs/error.log" | grep -v 'signal 9' | grep -q .; then fail "nginx complains"; fi
echo passed
