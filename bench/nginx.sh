#!/bin/bash
# SPDX-License-Identifier: MIT
# nginx.sh [RUNS]: one nginx worker with RUNS sandboxes at once (50), while another place of it is asked in a loop. Prints how
# long that place took with and without them, and how long our Lua held up the worker.
. "$(dirname "$0")/../scripts/lib.sh"
runs=${1:-50}
runsc=$(find_runsc) || exit 1
work=$(mktemp -d /tmp/sbn.XXXX) || exit 1
trap 'kill -QUIT "$pid" 2>/dev/null; wait "$pid"; rm -rf "$work"' EXIT
chmod 755 "$work" && mkdir "$work/t" "$work/logs" "$work/tmp" && mkdir -m 700 "$work/state"
copy_tree "$work/t"
install -m 755 "$runsc" "$work/runsc"
if is_root; then chown www-data "$work/state" "$work/tmp"; user="user www-data;"; fi
cat >"$work/nginx.conf" <<END
daemon off;
${user:-}
worker_processes 1;
error_log logs/error.log warn;
pid logs/nginx.pid;
load_module /usr/lib/nginx/modules/ndk_http_module.so;
load_module /usr/lib/nginx/modules/ngx_http_lua_module.so;
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
  lua_package_path "$work/t/lua/?.lua;$work/t/lua/?/init.lua;$work/t/bench/?.lua;;";
  lua_package_cpath "$work/t/build/5.1/?.so;;";
  lua_socket_log_errors off;
  lua_check_client_abort on;
  init_worker_by_lua_block {
    probe = require "nginx_probe"
    sb = require("sandbox").new{ state_dir = "$work/state", runsc = "$work/runsc", boot_timeout = 300 }
  }
  server {
    listen unix:$work/logs/http.sock;
    location = /fast { content_by_lua_block { ngx.print "fast" } }
    location = /run { content_by_lua_block {
      local r, message = probe.run(sb, { "sh", "-c", "sleep 2", limits = { timeout = 300 } })
      ngx.print(r and r.exit_code or message)
    } }
    location = /report { content_by_lua_block {
      ngx.print(probe.report())
      probe.forget()
    } }
  }
}
END
nginx -p "$work/" -c "$work/nginx.conf" &
pid=$!
until [ -S "$work/logs/http.sock" ]; do kill -0 $pid || exit 1; read -rt 0.05 <> <(:); done
export LUA_PATH="$work/t/lua/?.lua;$work/t/lua/?/init.lua;;" LUA_CPATH="$work/t/build/5.4/?.so;;"
# shellcheck disable=SC2016
python3 "$TREE/bench/nginx_client.py" "$work/logs/http.sock" "$runs" lua5.4 -e '
  local sandbox = require "sandbox"
  local sb, list = sandbox.new{ state_dir = arg[1], runsc = arg[2], boot_timeout = 300 }, {}
  for i = 1, tonumber(arg[3]) do list[i] = i end
  sandbox.map(list, #list, function() assert(assert(sb:run{ "sh", "-c", "sleep 2", limits = { timeout = 300 } }).ok) end)' \
  /dev/null "$work/other" "$work/runsc" "$runs" || { tail "$work/logs/error.log"; exit 1; }
