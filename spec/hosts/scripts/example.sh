#!/bin/bash
# SPDX-License-Identifier: MIT
# For the scripts beside it: an example's nginx. They have `tree`, one that its workers can read, and `dir`, for what is theirs.
fail() { echo "failed: $*"; cat "$dir/nginx.log"; exit 1; }

# serve EXAMPLE PORT: examples/EXAMPLE as it stands, but for its PORT, which becomes a free one, `port`, and for where the state of its
# runs lies; with one worker. It ends with the script.
serve() {
  port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
  mkdir -p "$tree/build/serve" "$dir/run" && chown www-data "$dir/run" && chmod 700 "$dir/run"
  sed "s/127\.0\.0\.1:$2/127.0.0.1:$port/; s/^env SANDBOX_RUNSC;/& env XDG_RUNTIME_DIR;/; s/^worker_processes.*/worker_processes 1;/" \
    "$tree/examples/$1/nginx.conf" >"$dir/nginx.conf"
  export SANDBOX_RUNSC=$tree/build/runsc/2024/runsc XDG_RUNTIME_DIR=$dir/run
  nginx -p "$tree/" -c "$dir/nginx.conf" -g "daemon off; user www-data;" >"$dir/nginx.log" 2>&1 &
  pid=$!
  trap 'kill -QUIT $pid 2>/dev/null; wait $pid' EXIT
}

# within TURNS COMMAND…: whether it succeeds in one of so many turns, 0.05 s apart.
within() {
  local turns=$1
  shift
  for _ in $(seq "$turns"); do "$@" && return; read -rt 0.05 <> <(:); done
  "$@"
}

left() { find "$dir/run" -name 'run-*'; }
none_left() { [ -z "$(left)" ]; }
