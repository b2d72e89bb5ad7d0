#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks that need no sandbox, each one line of TAP: style, the direction of includes, exported symbols, static analysis. lint.sh does
# all of them, lint.sh PART… some: quick (seconds), install, tidy, deep (tidy's static analysis with room to go through calls) and analyzer.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
parts=${*:-quick install deep analyzer}
for part in $parts; do [[ " quick install tidy deep analyzer " == *" $part "* ]] || die "no part $part: quick, install, tidy, deep, analyzer"; done
part() { [[ " $parts " == *" $1 "* ]]; }
n=0 failed=0
check() { # NAME COMMAND…: silence and status 0 pass
  local name=$1 out rc
  shift
  out=$("$@" 2>&1)
  rc=$?
  n=$((n + 1))
  if [ $rc = 0 ]; then
    echo "ok $n - $name"
  else
    echo "not ok $n - $name"
    head -n 60 <<<"$out" | sed 's/^/# /'
    failed=1
  fi
}
none() { # status 0 when the command finds nothing
  local out
  out=$("$@" 2>&1) || true
  [ -z "$out" ] || { echo "$out"; return 1; }
}

sup() { ls src/supervisor/sup_*.c src/supervisor/sup_*.h 2>/dev/null; }
lua_c() { ls src/module/lua_*.c src/module/lua_*.h 2>/dev/null; }
sbx() { ls src/shared/sbx_*.c src/shared/sbx_*.h 2>/dev/null; }
lua_headers='^[[:space:]]*#[[:space:]]*include[[:space:]]*[<"]\(lua\|lauxlib\|lualib\|luaconf\|lua_[a-z]*\)\.h'
sup_headers='^[[:space:]]*#[[:space:]]*include[[:space:]]*"sup_'
direction_sup() { none grep -n "$lua_headers" $(sup); }
direction_lua() { none grep -n "$sup_headers" $(lua_c) /dev/null; }
direction_sbx() { none grep -n -e "$lua_headers" -e "$sup_headers" $(sbx); }

one_symbol() {
  local so out
  for so in build/5.4/sandbox/core.so build/5.1/sandbox/core.so; do
    [ -e "$so" ] || { echo "$so is not built"; return 1; }
    out=$(nm -D --defined-only "$so" | awk '{ print $3 }')
    [ "$out" = luaopen_sandbox_core ] || { echo "$so exports: $out"; return 1; }
  done
}
no_liblua() { none sh -c 'readelf -d build/5.*/sandbox/core.so | grep NEEDED | grep -v "libc\.so\|ld-linux"'; }
is_static() { none sh -c 'readelf -d build/sandbox-supervisor | grep NEEDED'; }
# Of every program and module: anywhere in memory, no writable table of addresses, no stack that is code, no search path of its own,
# a guard behind each buffer on the stack, libc's calls with checked sizes, and places where an indirect jump may land.
hardened() {
  local f bad=0 missing cet=''
  if gcc -fcf-protection=full -x c -c /dev/null -o /dev/null 2>/dev/null; then cet=1; fi
  for f in build/sandbox-supervisor build/sandbox-guest build/sandbox-image build/sandbox-net build/5.4/sandbox/core.so build/5.1/sandbox/core.so; do
    missing=
    readelf -hW "$f" | grep -q 'Type: *DYN' || missing="$missing PIE"
    readelf -lW "$f" | grep -q GNU_RELRO && readelf -dW "$f" | grep -q BIND_NOW || missing="$missing RELRO"
    readelf -lW "$f" | grep -q 'GNU_STACK.* RW ' || missing="$missing NX"
    if readelf -lW "$f" | grep -q 'LOAD.* RWE'; then missing="$missing W^X"; fi
    if readelf -dW "$f" | grep -q 'TEXTREL\|RPATH\|RUNPATH'; then missing="$missing no-search-path"; fi
    # In a static program libc has them, and in the module libcap: what calls or begins so must be ours. endbr64: only where this compiler makes it.
    missing="$missing$(objdump -d --no-show-raw-insn "$f" | awk -v cet="$cet" -v shared="$(readelf -dW "$f" | grep -c NEEDED)" '
      /^[0-9a-f]+ </ { ours = shared ? $2 !~ /cap_|@plt/ : $2 ~ /^<(sbx|sup|guest|net|lua|img)_/ }
      ours && /__stack_chk_fail/ { guard = 1 }
      ours && /<__[a-z_0-9]+_chk[@>]/ { checked = 1 }
      ours && /endbr64/ { landing = 1 }
      END { if (!guard) printf " stack-protector"; if (!checked) printf " FORTIFY"; if (cet && !landing) printf " CET" }')"
    [ -z "$missing" ] || { echo "$f lacks$missing"; bad=1; }
  done
  return $bad
}

# Functions of at most 60 lines, files of at most 500: what is longer has two jobs.
sizes() {
  awk 'FNR == 1 { start = 0 }
    /^[a-z].*[^;]$/ && !/^(struct|enum|union|static const|#)/ { name = $0 }
    /^\{/ { start = FNR }
    /^\}/ { if (start && FNR - start > 61) { print FILENAME ":" start ": " FNR - start " lines: " name; bad = 1 } start = 0 }
    FNR == 501 { print FILENAME ": more than 500 lines"; bad = 1 }
    END { exit bad }' src/*/*.c src/*/*.h
}
licences() {
  local f bad=0
  for f in $(find src lua bin scripts examples bench spec types -type f \( -name '*.c' -o -name '*.h' -o -name '*.lua' -o -name '*.sh' -o -name '*.conf' -o -name '*.py' \)) bin/*; do
    [ -f "$f" ] && ! head -n 3 "$f" | grep -q 'SPDX-License-Identifier: MIT' && { echo "$f has no SPDX line"; bad=1; }
  done
  return $bad
}
shell_syntax() { local f; for f in scripts/*.sh .ci/run; do bash -n "$f" || return 1; done; }
lua_syntax() { # the oldest dialect reads all of it
  local f bad=0
  for f in $(find lua bin examples bench spec scripts -name '*.lua') bin/sandbox; do
    [ -f "$f" ] || continue
    luac5.1 -p "$f" || bad=1
  done
  return $bad
}
docs_current() { LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;" lua5.4 scripts/docs.lua check; }
# Its findings first: the path to each is long.
tidied() {
  local out
  out=$("$@" 2>/dev/null) && return 0
  grep 'error:' <<<"$out"
  echo "$out"
  return 1
}
# tidy FLAGS… -- FILES…. What deep costs is nearly all the static analyzer's way through calls of calls: three quarters of it.
tidy() {
  local flags=()
  while [ "$1" != -- ]; do flags+=("$1"); shift; done
  shift
  part deep || flags+=(-Xclang -analyzer-config -Xclang mode=shallow)
  tidied clang-tidy --quiet "$@" -- -std=gnu11 -D_GNU_SOURCE -Isrc/shared "${flags[@]}"
}
tidy_sup() { tidy -Isrc/supervisor -- src/shared/sbx_*.c src/supervisor/sup_*.c; }
tidy_lua() { tidy -Isrc/module -DSBX_LIBEXEC='"/"' $(pkg-config --cflags lua5.4) -- src/module/lua_*.c; }
tidy_net() { tidy -- src/net/net_*.c; }
tidy_img() { tidy -- src/image/img_*.c; }
analyzer() {
  local f bad=0
  for f in src/shared/sbx_*.c src/supervisor/sup_*.c src/net/net_*.c src/image/img_*.c; do
    gcc -std=gnu11 -D_GNU_SOURCE -O1 -fanalyzer -Werror -Isrc/shared -Isrc/supervisor -c "$f" -o /dev/null || bad=1
  done
  return $bad
}
rock() { luarocks lint rockspec/sandbox-gvisor-scm-1.rockspec; }
installed() { scripts/check-install.sh; }

# A file that its map does not name is not found by a newcomer; a name that stands for no file misleads.
mapped() { # MAP, then what it is to name
  local map=$1 bad=0 f; shift
  for f; do grep -qF "\`$f\`" "$map" || { echo "$map does not name $f"; bad=1; }; done
  return $bad
}
maps() {
  local bad=0 d f
  mapped lua/sandbox/README.md init.lua instance.lua errors.lua text.lua json.lua || bad=1
  for d in options run hosts machine shell fleet; do mapped lua/sandbox/README.md $(cd lua/sandbox/$d && ls ./*.lua | cut -c3-) || bad=1; done
  for d in box pool image; do mapped lua/sandbox/README.md $(cd lua/sandbox && ls $d/*.lua) || bad=1; done
  for f in $(grep -o '`[a-z_/]*\.lua`' lua/sandbox/README.md | tr -d '`'); do
    compgen -G "lua/sandbox/$f" >/dev/null || compgen -G "lua/sandbox/*/$f" >/dev/null || { echo "lua/sandbox/README.md names $f, which is not there"; bad=1; }
  done
  mapped scripts/README.md $(cd scripts && ls ./*.sh ./*.lua | cut -c3-) || bad=1
  mapped spec/README.md $(cd spec && ls -d -- */) || bad=1
  mapped src/README.md $(cd src && ls -d -- */) || bad=1
  return $bad
}
net_c() { ls src/net/net_*.c src/net/net_*.h; }
direction_net() { none grep -n -e "$lua_headers" -e "$sup_headers" $(net_c); }
direction_img() { none grep -n -e "$lua_headers" -e "$sup_headers" src/image/img_*; }

if part quick; then
  check "luacheck" luacheck -q --no-color lua bin/sandbox examples bench spec scripts
  check "Lua 5.1 reads every file" lua_syntax
  check "shell scripts parse" shell_syntax
  check "sup_* includes no Lua" direction_sup
  check "lua_* includes no sup_*" direction_lua
  check "net_* includes neither" direction_net
  check "img_* includes neither" direction_img
  check "sbx_* includes neither" direction_sbx
  check "core.so exports one symbol" one_symbol
  check "core.so needs libc alone" no_liblua
  check "the supervisor is static" is_static
  check "every binary is hardened" hardened
  check "functions and files are short" sizes
  check "every file names its licence" licences
  check "README and types are what the tables say" docs_current
  check "the maps name every file" maps
  check "luarocks lint" rock
fi
if part install; then check "make install and luarocks make give a module that loads" installed; fi
if part tidy || part deep; then
  if compgen -G 'src/module/lua_*.c' >/dev/null; then check "clang-tidy, lua_*" tidy_lua; fi
  check "clang-tidy, net_*" tidy_net
  check "clang-tidy, img_*" tidy_img
  check "clang-tidy, sbx_* and sup_*" tidy_sup
fi
if part analyzer; then check "gcc -fanalyzer, sbx_* and sup_*" analyzer; fi
exit $failed
