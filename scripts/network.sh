#!/bin/bash
# SPDX-License-Identifier: MIT
# network.sh [KILLS]: real clients (spec/network) through a list of names, and the host, sandbox-net and the supervisor killed so many
# times each (50) while traffic flows; on each build, as root and as an ordinary user.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
export SANDBOX_TEST_NET_KILLS=${1:-50}
scripts/deps.sh network || exit 1
make --no-print-directory -s all || exit 1
scripts/runsc.sh >/dev/null || exit 1
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
copy_tree "$work/t"
mkdir -m 700 "$work/home" "$work/run"
uid=$(id -u) gid=$(id -g)
if is_root; then
  ensure_test_user
  uid=$(id -u "$TEST_USER") gid=$(id -g "$TEST_USER")
  chown "$uid:$gid" "$work/home" "$work/run"
fi
failed=0
for year in 2022 2024 2026; do
  for who in root user; do
    if [ $who = root ] && ! is_root; then continue; fi
    if [ $year-$who = 2022-user ]; then continue; fi # which has no network, and says so
    drop=() home=$work/home
    if is_root && [ $who = user ]; then drop=(setpriv --reuid "$uid" --regid "$gid" --clear-groups); fi
    if [ $who = root ]; then home=$work; fi
    echo "# $year $who"
    (cd "$work/t" && "${drop[@]}" env -i PATH="$USUAL_PATH" HOME="$home" TMPDIR="$home" XDG_RUNTIME_DIR="$work/run" LANG=C.UTF-8 SANDBOX_TEST_BUILD="$year" \
      SANDBOX_TEST_NET_KILLS="$SANDBOX_TEST_NET_KILLS" SANDBOX_RUNSC="$work/t/build/runsc/$year/runsc" \
      LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" LUA_CPATH="build/5.4/?.so;;" \
      lua5.4 "$(command -v busted)" -o TAP --no-recursive spec/network spec/module/network_death_spec.lua) || failed=1
  done
done
exit $failed
