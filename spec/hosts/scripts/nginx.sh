#!/bin/bash
# SPDX-License-Identifier: MIT
# A real nginx with one worker on a unix socket, asked from outside: requests, streaming; then, SBX_TIMES times each and in the
# middle of a run, clients that go away, a worker that is killed, a reload, a stop and a start.
set -u
dir=$1
times=${SBX_TIMES:-3}
socket=$dir/logs/http.sock
fail() { echo "failed: $*"; tail -n 20 "$dir/logs/error.log"; exit 1; }
get() { curl -s --max-time 100 --unix-socket "$socket" "$@"; }
moment() { read -rt 0.05 <> <(:); }
eventually() { for _ in $(seq 1200); do "$@" && return 0; moment; done; return 1; }

serves() { [ "$(get http://x/fast)" = fast ]; }
start() {
  nginx -p "$dir/" -c "$dir/nginx.conf" &
  pid=$!
  eventually serves || fail "nginx does not serve"
}
signal() { nginx -p "$dir/" -c "$dir/nginx.conf" -s "$1" || fail "nginx -s $1"; }
workers() { cat "/proc/$pid/task/$pid/children"; }
one_worker() { [ "$(workers | wc -w)" = 1 ]; }

runs() { find "$dir/state" -maxdepth 1 -name 'run-*' -printf '%f\n' 2>/dev/null; }
a_run() { [ -n "$(runs)" ]; }
is_up() { grep -q up "$dir/out"; }
# A request whose program runs until something ends it. Every other time the program has not begun yet.
# The client itself is $client, not a shell around it: it must be what goes away.
hang() {
  : >"$dir/out"
  curl -sN --max-time 100 --unix-socket "$socket" http://x/hang >"$dir/out" &
  client=$!
  eventually a_run || fail "no run"
  if [ $(($1 % 2)) = 0 ]; then eventually is_up || fail "the program does not begin"; fi
  id=$(runs)
}
# Waits for a client whose request the server ends.
cut_off() {
  wait $client
  [ $? != 28 ] || fail "$1: the client gave up waiting"
}
left() {
  runs
  pgrep -af "$dir/state"
  grep -F "$dir/state" /proc/self/mountinfo
  find /sys/fs/cgroup -maxdepth 6 -name "lua-sandbox-${id#run-}" 2>/dev/null
}
nothing_left() { [ -z "$(left)" ]; }
gone() { eventually nothing_left || fail "$1 leaves: $(left)"; }
as_before() { [ "$(get http://x/fds)" = "$fds" ]; }
works() { # how a run that ends looks
  local got
  got=$(get http://x/stream)
  [ "$got" = $'1\n2\n3\n0' ] || fail "$1: $got"
}

: >"$dir/pools" # this worker has pools, those after it have none
start
rm "$dir/pools"
trap 'kill -QUIT $pid 2>/dev/null; wait $pid' EXIT
id=none
two_boxes() { [ "$(find "$dir/state" -maxdepth 1 -name 'run-*' | wc -l)" = 2 ]; }
eventually two_boxes || fail "pools of init_worker: no boxes without a request"
got=$(get http://x/pool); [ "$got" = $'1\n2\n3\n["in"]' ] || fail "pool: $got"
got=$(get http://x/box); [ "$got" = $'x\nin' ] || fail "box: $got"
got=$(get http://x/box); [ "$got" = $'x\nx\nin' ] || fail "box of another request: $got"
got=$(get http://x/closed); [ "$got" = closed ] || fail "closed: $got"
gone "a closed pool"
got=$(get http://x/serial); [ "$got" = "serial passed" ] || fail "serial: $got"
got=$(get http://x/connect); [ "$got" = "connect passed" ] || fail "connect: $got"
gone "a request"
fds=$(get http://x/fds)
got=$(get http://x/parallel); [ "$got" = "parallel passed" ] || fail "parallel: $got"
got=$(get "http://x/leaving?rounds=${SBX_ROUNDS:-3}"); echo "nginx    $got"
[[ $got == returns* && $got != *" "[1-9]*/* ]] || fail "leaving: $got"
got=$(get http://x/early); [ "$got" = wrong_phase ] || fail "init: $got"
got=$(get http://x/timer); [ "$got" = timer ] || fail "timer: $got"
works "stream"
got=$(get -D - -o /dev/null http://x/phase | tr -d '\r' | sed -n 's/^X-Code: //p'); [ "$got" = wrong_phase ] || fail "phase: $got"
gone "a request"

# What one request has started another one ends.
ended_by() { # LOCATION, what it answers, and what the first one sees
  local out=$dir/mine
  curl -sN --max-time 100 --unix-socket "$socket" http://x/mine >"$out" &
  client=$!
  eventually grep -q up "$out" || fail "$1: the program does not begin"
  got=$(get "http://x/$1"); [ "$got" = "$2" ] || fail "$1: $got"
  wait $client
  [ "$(cat "$out")" = "up
$3" ] || fail "$1: the request sees $(cat "$out")"
  gone "$1 by another request"
}
ended_by kill true killed
ended_by term true signaled
ended_by forget closed closed

for i in $(seq "$times"); do
  hang "$i"
  kill $client
  wait $client 2>/dev/null
  gone "client $i that goes away"
done
eventually as_before || fail "the worker has $(get http://x/fds) descriptors, had $fds"

for i in $(seq "$times"); do
  hang "$i"
  kill -9 $(workers)
  cut_off "worker $i that is killed"
  gone "worker $i that is killed"
  eventually serves || fail "no new worker serves"
done
works "after a worker's death"

for i in $(seq "$times"); do
  hang "$i"
  signal reload
  cut_off "reload $i" # after worker_shutdown_timeout
  gone "reload $i"
  eventually one_worker || fail "reload $i: workers $(workers)"
  eventually serves || fail "reload $i: nothing serves"
done
works "after a reload"

for i in $(seq "$times"); do
  hang "$i"
  signal stop
  wait $pid
  cut_off "stop $i"
  gone "stop $i"
  if grep -F "$socket" /proc/net/unix; then fail "stop $i leaves the socket bound"; fi
  start
done
works "after a restart"
gone "a request"

# What is to stay does, whatever becomes of the worker that started it, and ends when it is told to.
id=$(get http://x/keep)
comes() { got=$(get "http://x/come?id=$id$2"); [ "$got" = $'here\nup' ] || fail "a box that stays, after $1: $got"; }
another_worker() { one_worker && [ "$(workers)" != "$old" ] && serves; }
comes "its request" ""
for i in $(seq "$times"); do
  old=$(workers)
  kill -9 $old
  eventually another_worker || fail "no new worker serves"
  comes "its worker's death $i" ""
  old=$(workers)
  signal reload
  eventually another_worker || fail "reload: workers $(workers)"
  comes "reload $i" ""
done
comes "all that" "&stop=1"
id=run-$id
gone "a box that is stopped"

ended_by shutdown "true closed" signaled # of the TERM that comes first

if grep -E 'alert|emerg|crit' "$dir/logs/error.log" | grep -v 'signal 9' | grep -q .; then fail "nginx complains"; fi
echo passed
