#!/bin/bash
# SPDX-License-Identifier: MIT
# All tests, from nothing: test.sh, or test.sh quick for the unit row and one real row, or test.sh ROW… for rows by a part of
# their name ("real-2024", "lint"). Each row prints its counts, a failing row the end of its output; the last line is the sum.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
FILTER=("$@")
YEARS="2022 2024 2026"
# SANDBOX_TEST_ALL=1: every Lua with every build. How often limits are hit and hosts are killed may be said, too.
COUNTS=("SANDBOX_TEST_HITS=${SANDBOX_TEST_HITS:-2}" "SANDBOX_TEST_KILLS=${SANDBOX_TEST_KILLS:-12}" ${SANDBOX_TEST_ALL:+"SANDBOX_TEST_ALL=1"})
if [ "${1:-}" = quick ]; then FILTER=(unit-lua5.4 real-2024-root-lua5.4); fi

scripts/deps.sh test || exit 1
LOG=$TREE/build/log
mkdir -p "$LOG"
exec 9>"$LOG/lock"
flock -n 9 || { echo "another test run is going on in this tree; waiting for it"; flock 9; }
rm -f "$LOG"/*.log "$LOG"/*.count "$LOG"/*.out

echo "building"
make --no-print-directory -s DEV=1 all >"$LOG/make.log" 2>&1 || { tail -n 40 "$LOG/make.log"; echo "0 passed, 1 failed"; exit 1; }
# A build that cannot be fetched fails its own rows; the others run.
scripts/runsc.sh >"$LOG/runsc.log" 2>&1 || cat "$LOG/runsc.log"
if is_root && [[ ${FILTER[*]:-hosts} == *hosts* ]]; then
  scripts/nvim.sh >"$LOG/nvim.log" 2>&1 || cat "$LOG/nvim.log"
  scripts/npm.sh >"$LOG/npm.log" 2>&1 || cat "$LOG/npm.log"
  scripts/schemathesis.sh >"$LOG/schemathesis.log" 2>&1 || cat "$LOG/schemathesis.log"
fi
if wanted fleet-2026-user-lua5.1; then scripts/valkey.sh >"$LOG/valkey.log" 2>&1 || cat "$LOG/valkey.log"; fi

# Short, for socket addresses are: 108 bytes must hold a run's directory and more.
WORK=$(mktemp -d /tmp/sbt.XXXX) || exit 1
USERDIR=
LANES=()
cleanup() {
  local lane
  for lane in "${LANES[@]}"; do kill -- "-$lane" 2>/dev/null; done
  rm -rf "$WORK" ${USERDIR:+"$USERDIR"}
}
trap cleanup EXIT
trap 'exit 130' INT TERM
chmod 755 "$WORK"
if is_root; then
  ensure_test_user
  TUID=$(id -u "$TEST_USER") TGID=$(id -g "$TEST_USER")
else
  TUID=$(id -u) TGID=$(id -g)
fi
# What the user's rows read lies where that user can read it, whoever owns the tree; and runsc where all that leads to it is root's.
UTREE=$WORK/t
copy_tree "$UTREE"
USERDIR=$(mktemp -d /tmp/sbu.XXXX) && mkdir -m 700 "$USERDIR/run" "$USERDIR/home"
if is_root; then chown -R "$TUID:$TGID" "$USERDIR"; fi

# finish NAME RC SECONDS: counts what a row printed, in TAP. A skipped test is a failure: nothing here may be optional.
finish() {
  local name=$1 rc=$2 seconds=$3 log=$LOG/$1.log ok skip bad mark=""
  ok=$(grep -c '^ok ' "$log")
  skip=$(grep -c '^ok .*# SKIP' "$log")
  bad=$(grep -c '^not ok ' "$log")
  ok=$((ok - skip)) bad=$((bad + skip))
  if [ "$bad" = 0 ] && { [ "$rc" != 0 ] || [ "$ok" = 0 ]; }; then bad=1 mark=" (exit status $rc)"; fi
  if [ "$rc" = 124 ] || [ "$rc" = 137 ]; then mark=" (out of time)"; fi
  echo "$ok $bad" >"$LOG/$name.count"
  printf '%-28s %5d passed %4d failed %6ds%s\n' "$name" "$ok" "$bad" "$seconds" "$mark"
  if [ "$bad" != 0 ]; then
    awk '/^not ok / || /# SKIP/ { show = 1; print; next } /^#/ { if (show) print; next } { show = 0 }' "$log" | head -n 80 | cut -c 1-300 | sed 's/^/    | /'
    grep -v -e '^ok ' -e '^not ok ' -e '^#' -e '^1\.\.' "$log" | tail -n 20 | cut -c 1-300 | sed 's/^/    | /'
  fi
}

# row NAME SECONDS COMMAND…
row() {
  local name=$1 limit=$2 began=$SECONDS rc
  shift 2
  wanted "$name" || return 0
  timeout -k 10 "$limit" "$@" >"$LOG/$name.log" 2>&1 </dev/null 9>&-
  rc=$?
  finish "$name" "$rc" $((SECONDS - began)) >"$LOG/$name.out"
  cat "$LOG/$name.out"
}

# The environment of every row: nothing but this. `env` comes first, so that what it starts sees no more.
row_env() {
  ENV=(env -i "PATH=$USUAL_PATH" LANG=C.UTF-8 TERM=dumb "TMPDIR=$WORK"
    "LUA_PATH=lua/?.lua;lua/?/init.lua;spec/?.lua;;" "LUA_CPATH=build/$1/?.so;;")
}
abi() { if [ "$1" = lua5.4 ]; then echo 5.4; else echo 5.1; fi; }
specs() { find "$@" -maxdepth 1 -name '*_spec.lua' 2>/dev/null | grep -q .; }

BUSTED=$(command -v busted)
# -o TAP prints as it goes, so that a row that runs out of time still shows what passed.
busted_row() { # NAME SECONDS LUA DIR [VAR=value…]
  local name=$1 limit=$2 lua=$3 dir=$4
  shift 4
  specs "$dir" || return 0
  row_env "$(abi "$lua")"
  row "$name" "$limit" "${ENV[@]}" HOME="$WORK" "$@" "$lua" "$BUSTED" -o TAP --no-recursive "$dir"
}

# once YEAR WHO: whether a row leaves out what is tagged `once`, for it is the same with every build and is seen in two of the rows.
once() { [ -z "${SANDBOX_TEST_ALL:-}" ] && [ "$1-$2" != 2024-root ] && [ "$1-$2" != 2026-user ] && echo --exclude-tags=once; }

# broker WHO DIR: fleets are tried with Debian's Redis as root, as a user with Valkey.
broker() { [ "$1-$2" = user-fleet ] && echo "SANDBOX_TEST_REDIS=$UTREE/build/valkey/valkey-server"; }

# real_row YEAR WHO LUA [DIR]: the specs of spec/DIR, `real` if none is named
real_row() {
  local dir=${4:-real}
  local name=$dir-$1-$2-$3 began=$SECONDS left
  specs "spec/$dir" || return 0
  wanted "$name" || return 0
  if [ ! -x "build/runsc/$1/runsc" ]; then
    echo "not ok 1 - build/runsc/$1/runsc is missing: make runsc" >"$LOG/$name.log"
    finish "$name" 1 0
    return
  fi
  row_env "$(abi "$3")"
  if [ "$2" = root ]; then
    is_root || return 0
    row "$name" "${SANDBOX_TEST_SECONDS:-3000}" "${ENV[@]}" HOME="$WORK" "${COUNTS[@]}" SANDBOX_TEST_BUILD="$1" SANDBOX_RUNSC="$UTREE/build/runsc/$1/runsc" \
      "$3" "$BUSTED" -o TAP --no-recursive $(once "$1" "$2") "spec/$dir"
    return
  fi
  local drop=()
  if is_root; then drop=(setpriv --reuid "$TUID" --regid "$TGID" --clear-groups); fi
  (cd "$UTREE" && row "$name" "${SANDBOX_TEST_SECONDS:-3000}" "${drop[@]}" "${ENV[@]}" HOME="$USERDIR/home" TMPDIR="$USERDIR" XDG_RUNTIME_DIR="$USERDIR/run" \
    "${COUNTS[@]}" $(broker "$2" "$dir") SANDBOX_TEST_BUILD="$1" SANDBOX_RUNSC="$UTREE/build/runsc/$1/runsc" "$3" "$BUSTED" -o TAP --no-recursive $(once "$1" "$2") "spec/$dir")
  # The account is ours alone: whatever of it still runs was left behind.
  if is_root; then
    left=
    for _ in {1..100}; do
      left=$(ps -o pid=,args= -u "$TUID" 2>/dev/null)
      [ -z "$left" ] && break
      sleep 0.3
    done
    if [ -z "$left" ]; then
      echo "ok 1 - no process of $TEST_USER is left" >"$LOG/$name-after.log"
    else
      { echo "not ok 1 - processes of $TEST_USER are left"; sed 's/^/# /' <<<"$left"; } >"$LOG/$name-after.log"
      awk '{ print $1 }' <<<"$left" | xargs -r kill -KILL 2>/dev/null
    fi
    finish "$name-after" 0 0 >"$LOG/$name-after.out"
    grep -q '^ok' "$LOG/$name-after.log" || cat "$LOG/$name-after.out"
  fi
}

# Boxes and pools without the sentry's control socket: by `runsc exec`.
fallback_row() {
  is_root || return 0
  row_env 5.4
  row "fallback-$1" "${SANDBOX_TEST_SECONDS:-3000}" "${ENV[@]}" HOME="$WORK" "${COUNTS[@]}" SANDBOX_TEST_BUILD="$1" SANDBOX_TEST_CONTROL=runsc \
    SANDBOX_RUNSC="$UTREE/build/runsc/$1/runsc" lua5.4 "$BUSTED" -o TAP --no-recursive spec/real/box_spec.lua spec/real/pool_spec.lua
}

# C unit tests: one program each, under ASan and UBSan. What includes lua.h gets liblua; the others the supervisor's parts.
c_tests() {
  local t name n=0 flags rc
  make --no-print-directory -s DEV=1 SAN=1 BUILD=build/asan archive || { echo "not ok 1 - the sanitized build"; return 1; }
  mkdir -p build/ctest
  for t in spec/c/*_test.c; do
    name=$(basename "$t" .c) n=$((n + 1))
    flags=(-Isrc/shared -Isrc/supervisor -Isrc/module -Ispec/c build/asan/libsup.a -ljson-c -lcap -lm -ldl -lpthread)
    if grep -q 'lua\.h\|lauxlib\.h' "$t"; then
      # shellcheck disable=SC2207
      flags=(-Isrc/shared -Isrc/supervisor -Isrc/module -Ispec/c $(pkg-config --cflags lua5.4) src/module/lua_*.c -DSBX_LIBEXEC='"/nonexistent"' "${flags[@]:4}" $(pkg-config --libs lua5.4) -Wl,-E)
    fi
    if [ "$name" = net_test ]; then flags=(-Isrc/net src/net/net_dns.c src/net/net_policy.c src/net/net_report.c src/net/net_way.c "${flags[@]}"); fi
    if ! gcc -std=gnu11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-sanitize-recover=undefined "$t" "${flags[@]}" -o "build/ctest/$name"; then
      echo "not ok $n - $name does not build"
      continue
    fi
    timeout -k 5 120 "build/ctest/$name" >"build/ctest/$name.out" 2>&1
    rc=$?
    counts "$name" "$rc" "build/ctest/$name.out"
  done
}
# counts NAME STATUS FILE: a program that says "N passed, N failed" in the end is as many tests.
counts() {
  local name=$1 rc=$2 sum
  sum=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$3" | tail -n 1)
  if [ -n "$sum" ]; then
    sed 's/^not ok/# failed/; s/^ok /# &/' "$3"
    awk -v name="$name" '{ for (i = 0; i < $1; i++) print "ok " name; for (i = 0; i < $3; i++) print "not ok " name }' <<<"${sum/,/}"
  else
    sed "s/^\(ok\|not ok\) /\1 $name: /" "$3"
    if [ "$rc" = 0 ] && ! grep -q '^ok ' "$3"; then echo "ok $name"; fi
  fi
  if [ "$rc" != 0 ] && ! grep -q '^not ok ' "$3" && ! grep -Eq ', [1-9][0-9]* failed$' "$3"; then echo "not ok $name: exit status $rc"; fi
}

# A host in which each allocation fails once: no descriptor and no child may be left.
oom_test() {
  local abi n=0
  for abi in 5.4 5.1; do
    n=$((n + 1))
    # shellcheck disable=SC2046
    if gcc -std=gnu11 -g -O1 $(pkg-config --cflags lua$abi) spec/support/oom_host.c -o "build/ctest/oom-$abi" $(pkg-config --libs lua$abi) &&
      LUA_PATH="lua/?.lua;;" LUA_CPATH="build/$abi/?.so;;" timeout 120 "build/ctest/oom-$abi" spec/support/oom_script.lua; then
      echo "ok $n - every allocation fails once on $abi"
    else
      echo "not ok $n - every allocation fails once on $abi"
    fi
  done
}

# Rows under a tool: the same specs in the sanitized build, whose reports go to files because the supervisor has no stderr.
asan_row() {
  specs spec/fault || return 0
  wanted fault-asan || return 0
  make --no-print-directory -s DEV=1 SAN=1 BUILD=build/asan all >"$LOG/asan-make.log" 2>&1
  mkdir -p "$WORK/asan" && chmod 1777 "$WORK/asan"
  row_env 5.4
  ENV=("${ENV[@]/#LUA_CPATH=*/LUA_CPATH=build/asan/5.4/?.so;;}")
  row fault-asan 3000 bash -c 'reports=$1; shift; "$@"; rc=$?
    for f in "$reports"/*; do grep -qs "ERROR:\|runtime error:" "$f" || continue; grep -q /usr/bin/python3 "$f" && continue; echo "not ok sanitizer report ${f##*/}"; sed "s/^/# /" "$f"; done; exit $rc' \
    asan "$WORK/asan" "${ENV[@]}" HOME="$WORK" SANDBOX_TEST_TOOL=asan SANDBOX_TEST_BUILD_DIR=build/asan \
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
    ASAN_OPTIONS="log_path=$WORK/asan/asan:detect_stack_use_after_return=0" UBSAN_OPTIONS="log_path=$WORK/asan/ubsan:print_stacktrace=1" \
    lua5.4 "$BUSTED" -o TAP --no-recursive spec/fault
}
valgrind_row() {
  specs spec/fault || return 0
  wanted fault-valgrind || return 0
  row_env 5.4
  # Only the host process: what it starts is a static program that the sanitizers have seen.
  row fault-valgrind 3000 "${ENV[@]}" HOME="$WORK" SANDBOX_TEST_TOOL=valgrind \
    valgrind -q --error-exitcode=99 --trace-children=no --child-silent-after-fork=yes --leak-check=full --errors-for-leak-kinds=definite \
    lua5.4 "$BUSTED" -o TAP --no-recursive spec/fault
}

# vm_row CGROUP WHO YEAR [SPEC…]: the limits on a kernel that this machine is not, in a machine under emulation (spec/support/vm.sh).
# There all is some twenty times slower: what no cgroup changes is left out (SANDBOX_TEST_ALL runs it), and a limit is hit once.
vm_row() {
  local name=vm-$1-$2-$3 tree=$WORK/vm-$3 specs="${*:4}" rest=''
  wanted "$name" || return 0
  if [ ! -x "build/runsc/$3/runsc" ]; then
    echo "not ok 1 - build/runsc/$3/runsc is missing: make runsc" >"$LOG/$name.log"
    finish "$name" 1 0
    return
  fi
  if [ ! -d "$tree" ]; then
    mkdir -p "$tree/build"
    cp -r lua spec bin "$tree/" && cp -r build/5.4 build/sandbox-supervisor build/sandbox-guest "$tree/build/" && cp "build/runsc/$3/runsc" "$tree/"
  fi
  if [ -z "$specs" ]; then
    specs=spec/real/limit_spec.lua
    if [ "$1-$2" != v2-user ] && [ "$1" != none ]; then specs="$specs spec/real/box_spec.lua spec/real/pool_spec.lua"; fi
  fi
  if [ -n "${SANDBOX_TEST_ALL:-}" ]; then rest='"$@" --exclude-tags=cgroup spec/real/limit_spec.lua || rc=$?;'; fi
  row_env 5.4
  row "$name" "${SANDBOX_TEST_SECONDS:-3100}" spec/support/vm.sh --cgroup "$1" --as "$2" --tree "$tree" --timeout "${SANDBOX_TEST_SECONDS:-3000}" -- \
    bash -c "rc=0; \"\$@\" --tags=cgroup $specs || rc=\$?; $rest exit \$rc" vm \
    "${ENV[@]}" HOME=/tmp TMPDIR=/tmp SANDBOX_TEST_HITS="${SANDBOX_TEST_VM_HITS:-1}" SANDBOX_TEST_SLOW=20 SANDBOX_TEST_BUILD="$3" \
    SANDBOX_RUNSC=/tmp/tree/runsc lua5.4 "$BUSTED" -o TAP --no-recursive
}
# What a run, a box or a pool is for the guest: each build as root and as a user, each Lua as root and as a user, each Lua with two
# builds. What the module does on the host's side, whatever the build (spec/module, spec/fleet): once as root, once as a user. What a hostile
# reviewer would try (spec/security, SECURITY.md): the same.
real_rows() {
  local year who lua dir
  if [ -n "${SANDBOX_TEST_ALL:-}" ]; then
    for year in $YEARS; do for who in root user; do
      for lua in lua5.4 luajit lua5.1; do for dir in real module fleet; do echo "$who real_row $year $who $lua $dir"; done; done
      echo "$who real_row $year $who lua5.4 security"
    done; done
  else
    cat <<'ROWS'
user real_row 2026 user lua5.4
user real_row 2026 user lua5.1 module
user real_row 2024 user lua5.1
user real_row 2022 user luajit
root real_row 2024 root lua5.4
root real_row 2026 root luajit
root real_row 2022 root lua5.1
side real_row 2024 root luajit module
side real_row 2024 root lua5.4 fleet
side real_row 2024 root lua5.4 security
user real_row 2026 user lua5.1 fleet
user real_row 2026 user luajit security
ROWS
  fi
  # Real programs (scripts/runtimes.sh): the installed ones once, or all of them.
  if [ -z "${SANDBOX_TEST_RUNTIMES:-}" ]; then echo "user real_row 2026 user lua5.4 runtimes"; return; fi
  for year in 2024 2026; do for who in root user; do echo "$who real_row $year $who lua5.4 runtimes"; done; done
}

# hosts_row SPEC: a row for each file of spec/hosts
hosts_row() {
  is_root || return 0
  row_env 5.4
  row "hosts-$1" 3000 "${ENV[@]}" HOME="$WORK" "${COUNTS[@]}" SANDBOX_TEST_BUILD=2024 SANDBOX_RUNSC="$UTREE/build/runsc/2024/runsc" SANDBOX_TEST_TREE="$UTREE" \
    lua5.4 "$BUSTED" -o TAP "spec/hosts/$1_spec.lua"
}

# Their processes need room: it is the machine's limits that podman's own defaults are above.
# Docker's default profile is what moby publishes for Go.
docker_profile() {
  local go
  for go in "$(command -v go)" /usr/local/go/bin/go; do
    [ -x "$go" ] || continue
    "$go" mod download -json github.com/moby/profiles/seccomp@v0.3.0 2>/dev/null | sed -n 's/.*"Dir": "\(.*\)".*/\1\/default.json/p'
    return
  done
}
containers_row() {
  is_root && specs spec/containers && wanted containers || return 0
  row_env 5.4
  row containers 3000 "${ENV[@]}" HOME="$HOME" SANDBOX_TEST_DOCKER_PROFILE="$(docker_profile)" SANDBOX_RUNSC="$TREE/build/runsc/2024/runsc" lua5.4 "$BUSTED" -o TAP --no-recursive spec/containers
}

# c_row NAME FUNCTION
c_row() {
  export -f c_tests oom_test counts
  mkdir -p build/ctest
  row "$1" 3000 bash -c "$2"
}
lint_row() { row "lint-$1" 3000 scripts/lint.sh "$1"; }

# The rows, a line each: its class, and how it is run. Of a class but `free` one row runs at a time: the user's rows share an account that
# must be empty after each, and what a sanitized build is made for shares that. The longest chain of a class comes first, and the short
# rows of none last, so that the processors have something to do until the end.
rows() {
  local year x
  real_rows
  if [ -n "${SANDBOX_TEST_ALL:-}" ]; then
    for year in $YEARS; do for x in "v2 root" "v2 delegate" "v2 user" "none root" "none user"; do echo "machine vm_row $x $year"; done; done
  else # as a user without a group, and no cgroups at all: SANDBOX_TEST_ALL, and make hits
    echo "machine vm_row v2 root 2024 spec/real/limit_spec.lua"
    echo "machine vm_row v2 delegate 2026 spec/real/box_spec.lua spec/real/pool_spec.lua"
  fi
  for x in spec/hosts/*_spec.lua; do x=${x##*/}; echo "hosts hosts_row ${x%_spec.lua}"; done
  for year in ${SANDBOX_TEST_ALL:+2022} 2024 ${SANDBOX_TEST_ALL:+2026}; do echo "side fallback_row $year"; done
  echo "side containers_row"
  for x in tidy ${SANDBOX_TEST_ALL:+deep} install analyzer quick; do echo "free lint_row $x"; done
  echo "free row model 3000 scripts/model.sh"
  echo "asan c_row c-unit c_tests"
  if is_root; then
    echo "asan asan_row"
    echo "free valgrind_row"
    echo "free busted_row fault-root 3000 lua5.4 spec/fault"
  fi
  echo "free row fuzz-replay 3000 scripts/fuzz.sh replay"
  for x in lua5.4 luajit lua5.1; do echo "free busted_row unit-$x 3000 $x spec"; done
  echo "free c_row oom oom_test"
}

# A row that waits is a file, NUMBER.CLASS; who moves it away runs it. A class that is busy is a directory.
worker() {
  local job class found
  while compgen -G "$WORK/queue/*" >/dev/null; do
    found=
    for job in "$WORK"/queue/*; do
      [ -e "$job" ] || continue
      class=${job##*.}
      if [ "$class" != free ]; then mkdir "$WORK/busy/$class" 2>/dev/null || continue; fi
      if mv "$job" "$WORK/taken/" 2>/dev/null; then
        found=1
        eval "$(cat "$WORK/taken/${job##*/}")"
      fi
      if [ "$class" != free ]; then rmdir "$WORK/busy/$class"; fi
      [ -z "$found" ] || break
    done
    [ -n "$found" ] || sleep 0.5
  done
}
if [ -n "${SANDBOX_TEST_RUNTIMES:-}" ]; then COUNTS+=("SANDBOX_TEST_RUNTIMES=1" "SANDBOX_TEST_TIMES=1"); fi
mkdir "$WORK/queue" "$WORK/busy" "$WORK/taken"
n=1000
while read -r class job; do
  n=$((n + 1))
  echo "$job" >"$WORK/queue/$n.$class"
done < <(rows)

# Half of a row's time is waiting: one more of them than there are processors.
set -m
for ((n = $(nproc); n >= 0; n--)); do
  worker &
  LANES+=($!)
done
set +m
for lane in "${LANES[@]}"; do wait "$lane"; done
LANES=()
is_root || echo "run as an ordinary user: the rows that need root did not run"

passed=0 failed=0
for f in "$LOG"/*.count; do
  [ -e "$f" ] || continue
  read -r p n <"$f"
  passed=$((passed + p)) failed=$((failed + n))
done
[ "$passed" != 0 ] || failed=$((failed + 1))
# The end of a long output is what a build server shows: what failed once more, and how; last of all a line for each.
for f in "$LOG"/*.log; do
  awk '/^not ok / || /# SKIP/ { left = 8; print; next } /^#/ { if (left-- > 0) print; next } { left = 0 }' "$f" | sed "s|^|$(basename "$f" .log): |" | cut -c 1-240 | head -n 60
done
for f in "$LOG"/*.log; do
  awk -v row="$(basename "$f" .log)" 'function tell() { if (name != "") print substr(row ": " name, 1, 90) " " substr(where, 1, 70) }
    /^not ok / || /# SKIP/ { tell(); name = $0; sub(/^(not )?ok [0-9]+ - /, "", name); where = ""; next }
    name != "" && /^# Failure message: / { where = substr($0, 20) }
    END { tell() }' "$f"
done
echo "took $SECONDS s"
echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
