#!/bin/bash
# SPDX-License-Identifier: MIT
# hits.sh [N [CONFIGURATION…]]: bench/hits.lua on each configuration, or on those whose name has a part of it ("v2-user"); prints,
# and adds to bench/results/hits-DATE.txt. `here` is this machine, `none` the same without its cgroups, the others are emulated,
# where 100 hits of each limit take half an hour.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
N=${1:-100}
[ $# = 0 ] || shift
FILTER=("$@")
is_root || die "must be root: it makes mount namespaces, and runs as another user"
scripts/deps.sh test || exit 1
make --no-print-directory -s all && scripts/runsc.sh >/dev/null || exit 1
ensure_test_user
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
copy_tree "$work/t"
mkdir -m 700 "$work/root" "$work/user"
chown "$TEST_USER:" "$work/user"
mkdir -p bench/results
out=bench/results/hits-$(date +%Y-%m-%d).txt

# on_this_machine none|here root|user YEAR
on_this_machine() {
  local drop=() before=:
  if [ "$2" = user ]; then drop=(setpriv --reuid "$TEST_USER" --regid "$TEST_USER" --clear-groups); fi
  if [ "$1" = none ]; then before='umount -R /sys/fs/cgroup'; fi
  (cd "$work/t" && unshare -m --propagation private bash -c "$before"' && exec "$@"' hits "${drop[@]}" env -i "PATH=$USUAL_PATH" \
    "HOME=$work/$2" LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;" \
    SANDBOX_RUNSC="$work/t/build/runsc/$3/runsc" lua5.4 bench/hits.lua "$N")
}

# emulated CGROUP root|user|delegate YEAR
emulated() {
  local tree=$work/vm
  rm -rf "$tree" && mkdir -p "$tree/build" && cp -r lua bench "$tree/" && cp "build/runsc/$3/runsc" "$tree/"
  cp -r build/5.4 build/sandbox-supervisor build/sandbox-guest "$tree/build/"
  spec/support/vm.sh --cgroup "$1" --as "$2" --tree "$tree" --timeout 9000 -- env -i "PATH=$USUAL_PATH" HOME=/tmp \
    LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;" SANDBOX_RUNSC=/tmp/tree/runsc lua5.4 bench/hits.lua "$N" short
}

failed=0
for year in 2022 2024 2026; do
  for how in here-root here-user none-root none-user v2-root v2-delegate v2-user; do
    wanted "$how-$year" || continue
    where=emulated
    case $how in here-* | none-*) where=on_this_machine ;; esac
    { echo "$how-$year: $(date -u +%Y-%m-%dT%H:%MZ)"; $where "${how%-*}" "${how#*-}" "$year" || echo "  failed"; } >"$work/report" 2>&1
    tee -a "$out" <"$work/report"
    ! grep -q '^  failed' "$work/report" || failed=1
  done
done
exit $failed
