#!/bin/bash
# SPDX-License-Identifier: MIT
# terminal.sh TREE DIR [PICTURES]: the web terminal of examples/terminal in Chromium; the tree is one that nginx's workers can read, DIR
# for what is its own. PICTURES is a directory for pictures of it.
set -u
tree=$1 dir=$2
. spec/hosts/scripts/example.sh
command -v chromium >/dev/null || fail "no chromium: scripts/deps.sh test"
[ -e "$tree/build/terminal/xterm.js" ] || fail "no xterm.js from npm: scripts/npm.sh"

serve terminal 2001
url=http://127.0.0.1:$port
ask() { curl -s -o /dev/null -w '%{http_code}' --max-time 100 "$@"; }
answers() { [ "$(ask "$url/")" = 200 ]; }
within 400 answers

# A websocket is opened by any page to anywhere: who does not say its origin, or another one, gets none.
upgrade=(-H 'Connection: Upgrade' -H 'Upgrade: websocket' -H 'Sec-WebSocket-Version: 13' -H 'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==')
[ "$(ask "${upgrade[@]}" "$url/session")" = 403 ] || fail "a websocket without an origin"
[ "$(ask "${upgrade[@]}" -H 'Origin: http://elsewhere.example' "$url/session")" = 403 ] || fail "a websocket of another origin"
[ "$(ask "${upgrade[@]}" -H "Host: rebound.example:$port" -H "Origin: http://rebound.example:$port" "$url/session")" = 403 ] || fail "a websocket of another name"
[ "$(ask -H "Origin: $url" "$url/session")" = 400 ] || fail "what is no websocket"

mkdir -p "$dir/browser"
node spec/hosts/scripts/terminal.mjs "$url/" "$dir/browser" "$dir/run/lua-sandbox" "$pid" "$dir/nginx.conf" "${@:3}" || fail "the terminal"
within 1200 none_left || fail "left: $(left)"
