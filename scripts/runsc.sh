#!/bin/bash
# SPDX-License-Identifier: MIT
# runsc.sh [2022] [2024] [2026]: the three generations of runsc that the tests run on, in build/runsc/YEAR/runsc.
#   2022  Debian 12's package      2024  bookworm-backports' package      2026  built from gVisor's source by `go install`
# Packages are downloaded and unpacked, never installed: the machine's own runsc stays what it is.
. "$(dirname "$0")/lib.sh"
. "$TREE/scripts/apt.sh"

DEST=$TREE/build/runsc
GVISOR=gvisor.dev/gvisor/runsc@v0.0.0-20260905035102-160fafc42237
GO_MIN=1.26.3
export LC_ALL=C

mkdir -p "$DEST" || die "cannot write to $DEST"
TMP=$(mktemp -d "$DEST/.tmp.XXXXXX") || exit 1
# Go's module cache is read-only to its owner.
trap 'chmod -R u+w "$TMP" 2>/dev/null; rm -rf "$TMP"' EXIT

# put YEAR FILE: in one step, so that what exists is whole.
put() {
  mkdir -p "$DEST/$1" && install -m 755 "$2" "$DEST/$1/.runsc.new" && mv "$DEST/$1/.runsc.new" "$DEST/$1/runsc"
}

fetch_2022() { unpack bookworm "$TMP/2022" runsc && put 2022 "$TMP/2022/root/usr/bin/runsc"; }
fetch_2024() { unpack bookworm-backports "$TMP/2024" runsc && put 2024 "$TMP/2024/root/usr/bin/runsc"; }

# The machine's go where it is new enough; else backports' 1.23, which fetches that toolchain by itself.
find_go() {
  local go version
  for go in "${SANDBOX_GO:-}" "$(command -v go 2>/dev/null)" /usr/local/go/bin/go; do
    [ -x "$go" ] || continue
    version=$(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null) || continue
    version=${version#go}
    if [ "$(printf '%s\n%s\n' "$GO_MIN" "${version%% *}" | sort -V | head -n 1)" = "$GO_MIN" ]; then
      GO=$go TOOLCHAIN=local
      return
    fi
  done
  unpack bookworm-backports "$TMP/go" golang-1.23-go golang-1.23-src
  GO=$TMP/go/root/usr/lib/go-1.23/bin/go TOOLCHAIN=go$GO_MIN
}

fetch_2026() {
  find_go
  mkdir -p "$TMP/bin" "$TMP/gopath" "$TMP/gocache"
  # Nothing of it outside this tree; a module cache that the machine already has serves, when it is said to.
  env -u GOROOT GOBIN="$TMP/bin" GOPATH="$TMP/gopath" GOMODCACHE="${GOMODCACHE:-$TMP/gopath/pkg/mod}" GOCACHE="${GOCACHE:-$TMP/gocache}" \
    HOME="${HOME:-$TMP}" GOTOOLCHAIN=$TOOLCHAIN GOFLAGS= GOWORK=off CGO_ENABLED=0 "$GO" install "$GVISOR" >"$TMP/go.log" 2>&1 ||
    { tail -n 20 "$TMP/go.log" >&2; die "go install $GVISOR failed"; }
  put 2026 "$TMP/bin/runsc"
}

[ $# -gt 0 ] || set -- 2022 2024 2026
for year; do
  case $year in 2022 | 2024 | 2026) ;; *) die "no such build: $year (2022, 2024, 2026)" ;; esac
  if [ ! -x "$DEST/$year/runsc" ]; then
    echo "fetching runsc $year …"
    "fetch_$year" || die "no runsc $year"
  fi
  # `--version` boots nothing; what it says differs by build and may be a placeholder.
  said=$("$DEST/$year/runsc" --version 2>&1 | head -n 1) || die "build/runsc/$year/runsc does not run: remove it and try again"
  echo "build/runsc/$year/runsc: ${said#runsc version }"
done
