# SPDX-License-Identifier: MIT
# Shared by the scripts beside it: where the tree is, an ordinary user to run as, a runsc to run with.
set -u
export LC_ALL=C.UTF-8
TREE=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
TEST_USER=${SANDBOX_TEST_USER:-sandboxtest}
USUAL_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

die() { echo "${0##*/}: $*" >&2; exit 1; }
is_root() { [ "$(id -u)" = 0 ]; }
have() { command -v "$1" >/dev/null 2>&1; }

# An account for the rows that must not be root: no login, no home, no groups.
ensure_test_user() {
  id -u "$TEST_USER" >/dev/null 2>&1 && return 0
  useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$TEST_USER" ||
    die "cannot create the user $TEST_USER for the tests that must not run as root"
}

# The machine's own runsc, as the module finds it, else the 2024 build.
find_runsc() {
  local d
  if [ -n "${SANDBOX_RUNSC:-}" ]; then echo "$SANDBOX_RUNSC"; return; fi
  for d in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
    if [ -x "$d/runsc" ]; then echo "$d/runsc"; return; fi
  done
  "$TREE/scripts/runsc.sh" 2024 >&2 || return 1
  echo "$TREE/build/runsc/2024/runsc"
}

# A copy of what tests and benches read, in a place every user can read: the tree may lie below a 0700 directory.
copy_tree() {
  local to=$1 y
  mkdir -p "$to/build/runsc"
  (cd "$TREE" && cp -r lua bin spec examples bench scripts types README.md .busted "$to/" 2>/dev/null)
  (cd "$TREE/build" && cp -r 5.4 5.1 sandbox-supervisor sandbox-guest sandbox-image sandbox-net playground terminal valkey bench-peer bench-floor bench-answer "$to/build/" 2>/dev/null)
  for y in 2022 2024 2026; do
    [ -x "$TREE/build/runsc/$y/runsc" ] || continue
    mkdir -p "$to/build/runsc/$y"
    cp --reflink=auto "$TREE/build/runsc/$y/runsc" "$to/build/runsc/$y/runsc"
  done
  chmod -R u+rwX,go+rX,go-w "$to"
}

# as_user UID GID command…: no groups, no environment but what the command line brings (`env -i` follows).
as_user() {
  local uid=$1 gid=$2
  shift 2
  setpriv --reuid "$uid" --regid "$gid" --clear-groups "$@"
}

# Whether FILTER, a list of parts of names, is empty or has one of this name.
wanted() {
  local f
  [ ${#FILTER[@]} -eq 0 ] && return 0
  for f in "${FILTER[@]}"; do [[ $1 == *"$f"* ]] && return 0; done
  return 1
}
