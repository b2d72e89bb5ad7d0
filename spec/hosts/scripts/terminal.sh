#!/bin/bash
# SPDX-License-Identifier: MIT
# terminal.sh TREE DIR [PICTURES]: the web terminal of examples/terminal in Chromium; the tree is one that nginx's workers can read, DIR
# for what is its own. PICTURES is a directory for pictures of it.
set -u
tree=$1 dir=$2
fail() { echo "failed: $*"; cat "$dir/nginx.log"; exit 1; }
command -v chromium >/dev/null || fail "no chromium: scripts/deps.sh test"
[ -e "$tree/build/terminal/xterm.js" ] || fail "no xterm.js from npm: scripts/npm.sh"

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
mkdir -p "$tree/build/serve" "$dir/run" && chown www-data "$dir/run" && chmod 700 "$dir/run"
sed "s/127\.0\.0\.1:2001/127.0.0.1:$port/; s/^env SANDBOX_RUNSC;/& env XDG_RUNTIME_DIR;/; s/^worker_processes.*/worker_processes 1;/" \
  "$tree/examples/terminal/nginx.conf" >"$dir/nginx.conf"
export SANDBOX_RUNSC=$tree/build/runsc/2024/runsc XDG_RUNTIME_DIR=$dir/run
nginx -p "$tree/" -c "$dir/nginx.conf" -g "daemon off; user www-data;" >"$dir/nginx.log" 2>&1 &
pid=$!
trap 'kill -QUIT $pid 2>/dev/null; wait $pid' EXIT
url=http://127.0.0.1:$port
ask() { curl -s -o /dev/null -w '%{http_code}' --max-time 100 "$@"; }
for _ in $(seq 400); do [ "$(ask "$url/")" = 200 ] && break; read -rt 0.05 <> <(:); done

# A websocket is opened by any page to anywhere: who does not say its origin, or another one, gets none.
upgrade=(-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==')
[ "$(ask "${upgrade[@]}" "$url/session")" = 403 ] || fail "a websocket without an origin"
[ "$(ask "${upgrade[@]}" -H 'Origin: http://elsewhere.example' "$url/session")" = 403 ] || fail "a websocket of another origin"
[ "$(ask "${upgrade[@]}" -H "Host: rebound.example:$port" -H "Origin: http://rebound.example:$port" "$url/session")" = 403 ] || fail "a websocket of another name"
[ "$(ask -H "Origin: $url" "$url/session")" = 400 ] || fail "what is no websocket"

# sessions: how many sandboxes there are
sessions() { find "$dir/run" -maxdepth 2 -name 'run-*' | wc -l; }
mkdir -p "$dir/browser"
node spec/hosts/scripts/terminal.mjs "$url/" "$dir/browser" "$dir/run/lua-sandbox" "${@:3}" || fail "the terminal"
for _ in $(seq 1200); do [ "$(sessions)" = 0 ] && break; read -rt 0.05 <> <(:); done
[ "$(sessions)" = 0 ] || fail "left: $(find "$dir/run" -name 'run-*')"
