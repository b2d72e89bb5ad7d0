#!/bin/bash
# SPDX-License-Identifier: MIT
# fuzz.sh [SECONDS [TARGET…]]: libFuzzer's targets of spec/fuzz, under ASan and UBSan, so many seconds each (600); begins with spec/corpus/TARGET and what
# it has found before (build/fuzz/corpus). Prints executions, and the lines of the tested code that are reached. fuzz.sh keep [TARGET…]:
# the least of what was found that reaches as much goes to spec/corpus. fuzz.sh replay [TARGET…]: spec/corpus once, by gcc, for the tests.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
what=${1:-600}
[ $# = 0 ] || shift
FILTER=("$@")
OUT=build/fuzz
mkdir -p $OUT/corpus
make --no-print-directory -s archive core || exit 1
[ "$what" = replay ] || scripts/deps.sh fuzz || exit 1

# The code of each target, and what it needs besides; of Lua the scripts, which are tested in place of C.
declare -A CODE=(
  [wire]="src/shared/sbx_wire.c src/shared/sbx_buf.c"
  [request]="src/supervisor/sup_request.c" [trace]="src/supervisor/sup_trace.c src/supervisor/sup_tree.c"
  [control]="src/supervisor/sup_control.c" [json]="src/supervisor/sup_json.c" [log]="src/supervisor/sup_log.c src/supervisor/sup_refusal.c"
  [files]="src/guest/guest_files.c src/guest/guest_io.c src/guest/guest_collect.c src/guest/guest_open.c src/guest/guest_tree.c src/guest/guest_pack.c"
  [net]="src/net/net_dns.c src/net/net_policy.c" [reader]= [result]= [bundle]=
)
declare -A MORE=([files]="src/shared/sbx_io.c src/shared/sbx_wire.c" [net]="src/shared/sbx_wire.c")
TARGETS="wire request trace control json log files net reader result bundle"

# compile COMPILER OUTPUT TARGET FLAG…: what is tested anew, what that needs besides as it is built already
compile() {
  local cc=$1 out=$2 t=$3 source=spec/fuzz/$3.c libs=''
  shift 3
  local code=${CODE[$t]}${MORE[$t]:+ ${MORE[$t]}}
  case $t in
    request | trace | control | json | log) libs="build/libsup.a -ljson-c -lcap -lm" ;;
    reader | result | bundle) source=spec/fuzz/lua.c libs="$(pkg-config --cflags --libs lua5.4) -Wl,-E -DFUZZ_SCRIPT=\"spec/fuzz/$t.lua\"" ;;
  esac
  # shellcheck disable=SC2086
  "$cc" -std=gnu11 -D_GNU_SOURCE -g "$@" -Ispec/fuzz -Isrc/shared -Isrc/supervisor -Isrc/guest -Isrc/net "$source" $code $libs -o "$out"
}
SANITIZE=(-O1 -fsanitize=address,undefined -fno-sanitize-recover=undefined)
run() { # what of the tree and of the environment the target sees
  LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" LUA_CPATH="build/5.4/?.so;;" ASAN_OPTIONS=detect_leaks=1 "$@"
}

# Lines of the tested code that what is kept reaches, by gcov.
coverage() {
  local t=$1 dir=$OUT/cov-$1
  [ -n "${CODE[$t]}" ] || return 0
  rm -rf "$dir" && mkdir -p "$dir"
  compile gcc "$dir/target" "$t" -O0 --coverage -fprofile-abs-path spec/fuzz/replay.c -dumpdir "$dir/" >"$dir/log" 2>&1 && run "$dir/target" spec/corpus/"$t" $OUT/corpus/"$t" >>"$dir/log" 2>&1
  for f in ${CODE[$t]}; do
    printf '  %s: %s\n' "$(basename "$f")" "$(gcov -n "$dir/$(basename "$f" .c).gcda" 2>/dev/null | grep -aA1 "^File .*$f'" | sed -n 's/^Lines executed://p')"
  done
}

n=0 failed=0
replay() {
  n=$((n + 1))
  if compile gcc "$OUT/$1-replay" "$1" "${SANITIZE[@]}" spec/fuzz/replay.c && run timeout -k 5 120 "$OUT/$1-replay" "spec/corpus/$1" >"$OUT/$1-replay.out" 2>&1; then
    echo "ok $n - what was found for $1: $(tail -n 1 "$OUT/$1-replay.out")"
  else
    echo "not ok $n - what was found for $1"
    tail -n 25 "$OUT/$1-replay.out" | sed 's/^/# /'
    failed=1
  fi
}

fuzz() {
  local t=$1 dictionary=()
  mkdir -p "$OUT/corpus/$t" "$OUT/crashes/$t"
  [ -e "spec/fuzz/$t.dict" ] && dictionary=(-dict="spec/fuzz/$t.dict")
  compile clang "$OUT/$t" "$t" "${SANITIZE[@]}" -fsanitize=fuzzer || { failed=1; return; }
  run "$OUT/$t" -max_total_time="$what" -max_len=4096 -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix="$OUT/crashes/$t/" "${dictionary[@]}" "$OUT/corpus/$t" "spec/corpus/$t" >"$OUT/$t.log" 2>&1
  local rc=$?
  echo "$t: $(sed -n 's/^stat::number_of_executed_units: *//p' "$OUT/$t.log") executions, $(grep -ao 'cov: [0-9]* ft: [0-9]*' "$OUT/$t.log" | tail -n 1)$([ $rc = 0 ] || echo ", FAILED")"
  if [ $rc != 0 ]; then
    failed=1
    grep -a 'ERROR\|SUMMARY\|raised\|^ *#[0-9]* 0x\|artifact' "$OUT/$t.log" | head -n 30 | sed 's/^/  /'
  fi
  coverage "$t"
}

for t in $TARGETS; do
  wanted "$t" || continue
  mkdir -p "spec/corpus/$t"
  case $what in
    replay) replay "$t" ;;
    keep) run "$OUT/$t" -merge=1 -max_len=512 "spec/corpus/$t" "$OUT/corpus/$t" 2>&1 | grep -a MERGE-OUTER | tail -n 1 ;;
    *) fuzz "$t" ;;
  esac
done
exit $failed
