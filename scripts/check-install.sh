#!/bin/bash
# SPDX-License-Identifier: MIT
# Installs into temporary trees by `make install` and by LuaRocks, from a copy of the sources, and loads what came out.
. "$(dirname "$0")/lib.sh"
tmp=$(mktemp -d /tmp/sandbox-install.XXXXXX) || exit 1
trap 'rm -rf "$tmp"' EXIT
mkdir -p "$tmp/src/build" "$tmp/home"
# With what is built already, which is as new as it was: `make install` copies.
cd "$TREE" && cp -a Makefile src lua bin doc rockspec LICENSE README.md "$tmp/src/" || exit 1
cp -a build/obj build/5.* build/sandbox-* build/*.d "$tmp/src/build/" 2>/dev/null
cd "$tmp/src" || exit 1
export HOME=$tmp/home

# A supervisor that is found beside core.so says so by being executable there.
probe() { # LUA SHARE LIB
  env -i PATH="$USUAL_PATH" HOME="$HOME" LUA_PATH="$2/?.lua;$2/?/init.lua;;" LUA_CPATH="$3/?.so;;" "$1" -e '
    local sandbox = require "sandbox"
    assert(sandbox == require "sandbox_gvisor" and type(sandbox._VERSION) == "string")
    assert(require("sandbox.core").VERSION)' || { echo "$1 cannot load what was installed in $2"; return 1; }
  [ -x "$3/sandbox/sandbox-supervisor" ] || { echo "no supervisor in $3/sandbox"; return 1; }
}

make -s all >/dev/null && make -s install DESTDIR="$tmp/dest" PREFIX=/usr >/dev/null || exit 1
probe lua5.4 "$tmp/dest/usr/share/lua/5.4" "$tmp/dest/usr/lib/lua/5.4" || exit 1
probe luajit "$tmp/dest/usr/share/lua/5.1" "$tmp/dest/usr/lib/lua/5.1" || exit 1
probe lua5.1 "$tmp/dest/usr/share/lua/5.1" "$tmp/dest/usr/lib/lua/5.1" || exit 1
[ -x "$tmp/dest/usr/bin/sandbox" ] && [ -f "$tmp/dest/usr/share/man/man1/sandbox.1" ] || { echo "no command or no manual page"; exit 1; }

# What both versions share is built once: only the module knows of which Lua it is.
make -s clean
for version in 5.4 5.1; do
  # A cjson from a Debian package is no rock, so dependencies are not looked at.
  luarocks --lua-version "$version" make --deps-mode=none --tree "$tmp/rocks" rockspec/sandbox-gvisor-scm-1.rockspec >"$tmp/log" 2>&1 ||
    { tail -n 30 "$tmp/log"; exit 1; }
  probe "lua$version" "$tmp/rocks/share/lua/$version" "$tmp/rocks/lib/lua/$version" || exit 1
done
