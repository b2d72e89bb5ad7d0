#!/bin/bash
# SPDX-License-Identifier: MIT
# soak.sh [RUNS [SEED [CONFIGURATION…]]]: so many random sandboxes (spec/support/soak.lua) on each build, as root and as an ordinary user, on
# each Lua in turn; KILLS=N in the environment: so many sudden deaths (spec/support/soak_kills.lua) instead. A configuration is a part
# of a name like 2024-root. A case that fails is told by its seed: soak.sh 1 SEED 2024-root runs that one again.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
RUNS=${1:-1200} SEED=${2:-$RANDOM$RANDOM}
FILTER=("${@:3}")
driver=soak.lua
if [ -n "${KILLS:-}" ]; then RUNS=$KILLS driver=soak_kills.lua; fi
scripts/deps.sh test || exit 1
make --no-print-directory -s all && scripts/runsc.sh >/dev/null || exit 1
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
copy_tree "$work/t"
mkdir -m 711 "$work/root" && mkdir -m 700 "$work/user" "$work/run"
uid=$(id -u) gid=$(id -g)
if is_root; then
  ensure_test_user
  uid=$(id -u "$TEST_USER") gid=$(id -g "$TEST_USER")
  chown "$uid:$gid" "$work/user" "$work/run"
fi

chosen=()
for year in 2022 2024 2026; do
  for who in root user; do
    if [ $who = root ] && ! is_root; then continue; fi
    if wanted "$year-$who"; then chosen+=("$year-$who"); fi
  done
done
share=$(((RUNS + ${#chosen[@]} - 1) / ${#chosen[@]})) n=0 failed=0
echo "$RUNS from seed $SEED: $share on each of ${chosen[*]}"
for which in "${chosen[@]}"; do
  year=${which%-*} who=${which#*-} drop=()
  luas=(lua5.4 luajit lua5.1) lua=${luas[n % 3]} n=$((n + 1))
  abi=5.1
  if [ "$lua" = lua5.4 ]; then abi=5.4; fi
  if is_root && [ "$who" = user ]; then drop=(setpriv --reuid "$uid" --regid "$gid" --clear-groups); fi
  echo "# $which, $lua"
  (cd "$work/t" && "${drop[@]}" env -i PATH="$USUAL_PATH" HOME="$work/$who" TMPDIR="$work/$who" XDG_RUNTIME_DIR="$work/run" LANG=C.UTF-8 SANDBOX_TEST_BUILD="$year" \
    SANDBOX_RUNSC="$work/t/build/runsc/$year/runsc" LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" LUA_CPATH="build/$abi/?.so;;" \
    "$lua" "spec/support/$driver" "$share" "$SEED" </dev/null) || failed=1
  if is_root && [ "$who" = user ]; then
    for _ in 1 2 3 4 5 6 7 8 9 10; do
      left=$(ps -o pid=,args= -u "$uid")
      if [ -z "$left" ]; then break; fi
      sleep 0.5
    done
    if [ -n "$left" ]; then failed=1; printf 'wrong: processes of %s are left\n%s\n' "$TEST_USER" "$left"; fi
  fi
done
exit $failed
