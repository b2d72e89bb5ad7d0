#!/bin/bash
# SPDX-License-Identifier: MIT
# playground.sh TREE DIR [PICTURES]: the playground of examples/openresty in Chromium; the tree is one that nginx's workers can read, DIR
# for what is its own. PICTURES is a directory for pictures of it.
set -u
tree=$1 dir=$2
fail() { echo "failed: $*"; cat "$dir/nginx.log"; exit 1; }
command -v chromium >/dev/null || fail "no chromium: scripts/deps.sh test"
[ -e "$tree/build/playground/codemirror/lib/codemirror.js" ] || fail "no editor from npm: scripts/npm.sh"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$tree/build/serve" "$dir/run" && chown www-data "$dir/run" && chmod 700 "$dir/run"
sed "s/127\.0\.0\.1:2000/127.0.0.1:$port/; s/^env SANDBOX_RUNSC;/& env XDG_RUNTIME_DIR;/; s/^worker_processes.*/worker_processes 1;/" \
  "$tree/examples/openresty/nginx.conf" >"$dir/nginx.conf"
# A slow machine must not end what the test wants to stop.
echo 'return { limits = { timeout = { default = 3, maximum = 600 }, cpu_time = { maximum = 600 } } }' >"$dir/settings.lua"
export SANDBOX_RUNSC=$tree/build/runsc/2024/runsc XDG_RUNTIME_DIR=$dir/run SANDBOX_API_SETTINGS=$dir/settings.lua
nginx -p "$tree/" -c "$dir/nginx.conf" -g "daemon off; user www-data;" >"$dir/nginx.log" 2>&1 &
pid=$!
trap 'kill -QUIT $pid 2>/dev/null; wait $pid' EXIT
for _ in $(seq 400); do curl -sf -o /dev/null "http://127.0.0.1:$port/api/v3/service" && break; read -rt 0.05 <> <(:); done

mkdir -p "$dir/browser"
node spec/hosts/scripts/playground.mjs "http://127.0.0.1:$port/" "$dir/browser" "${@:3}" || fail "the playground"
got=$(find "$dir/run" -name 'run-*')
for _ in $(seq 400); do [ -z "$got" ] && break; read -rt 0.05 <> <(:); got=$(find "$dir/run" -name 'run-*'); done
[ -z "$got" ] || fail "left: $got"
