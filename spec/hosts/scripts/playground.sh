#!/bin/bash
# SPDX-License-Identifier: MIT
# playground.sh TREE DIR [PICTURES]: the playground of examples/openresty in Chromium; the tree is one that nginx's workers can read, DIR
# for what is its own. PICTURES is a directory for pictures of it.
set -u
tree=$1 dir=$2
. spec/hosts/scripts/example.sh
command -v chromium >/dev/null || fail "no chromium: scripts/deps.sh test"
[ -e "$tree/build/playground/codemirror/lib/codemirror.js" ] || fail "no editor from npm: scripts/npm.sh"

# A slow machine must not end what the test wants to stop.
echo 'return { limits = { timeout = { default = 3, maximum = 600 }, cpu_time = { maximum = 600 } } }' >"$dir/settings.lua"
export SANDBOX_API_SETTINGS=$dir/settings.lua
serve openresty 2000
within 400 curl -sf -o /dev/null "http://127.0.0.1:$port/api/v3/service"

mkdir -p "$dir/browser"
node spec/hosts/scripts/playground.mjs "http://127.0.0.1:$port/" "$dir/browser" "${@:3}" || fail "the playground"
within 400 none_left || fail "left: $(left)"
