#!/bin/bash
# SPDX-License-Identifier: MIT
# runsc.sh [2022] [2024] [2026]: the three generations of runsc that the tests run on, in build/runsc/YEAR/runsc.
#   2022  Debian 12's package      2024  bookworm-backports' package      2026  built from gVisor's source by `go install`
# Packages are downloaded and unpacked, never installed: the machine's own runsc stays what it is.
. "$(dirname "$0")/lib.sh"

DEST=$TREE/build/runsc
GVISOR=gvisor.dev/gvisor/runsc@v0.0.0-20260905035102-160fafc42237
GO_MIN=1.26.3
export LC_ALL=C

mkdir -p "$DEST" || die "cannot write to $DEST"
TMP=$(mktemp -d "$DEST/.tmp.XXXXXX") || exit 1
# Go's module cache is read-only to its owner.
trap 'chmod -R u+w "$TMP" 2>/dev/null; rm -rf "$TMP"' EXIT

# The machine's own mirror, read from its apt sources: "[options] uri" of the first entry that carries a main archive.
machine_mirror() {
  local f
  for f in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
    [ -r "$f" ] && sed -n 's/#.*//; s/^[[:space:]]*deb[[:space:]]\+//p' "$f" | awk '
      { opts = ""; if ($1 ~ /^\[/) { while (1) { opts = opts " " $1; last = $1; sub(/^[^ ]+ */, ""); if (last ~ /\]$/ || $0 == "") break } }
        uri = $1; suite = $2; main = 0; for (i = 3; i <= NF; i++) if ($i == "main") main = 1
        if (main && suite !~ /[-\/](security|updates|backports|proposed)/ && suite ~ /^[a-z]+$/) print opts "\t" uri }'
  done
  for f in /etc/apt/sources.list.d/*.sources; do
    [ -r "$f" ] && awk '
      function emit() { if (tolower(enabled) != "no" && types ~ /(^| )deb( |$)/ && comps ~ /(^| )main( |$)/) {
          n = split(suites, s, " "); plain = 0; for (i = 1; i <= n; i++) if (s[i] ~ /^[a-z]+$/) plain = 1
          if (plain) { split(uris, u, " "); print (trusted == "yes" ? " [trusted=yes]" : (key ~ /^\// ? " [signed-by=" key "]" : "")) "\t" u[1] } }
        types = uris = suites = comps = key = enabled = trusted = "" }
      /^#/ { next }
      /^[[:space:]]*$/ { emit(); next }
      { line = $0; name = tolower(line); sub(/:.*/, "", name); value = line; sub(/^[^:]*:[[:space:]]*/, "", value) }
      name == "types" { types = value } name == "uris" { uris = value } name == "suites" { suites = value }
      name == "components" { comps = value } name == "signed-by" { key = value } name == "enabled" { enabled = value } name == "trusted" { trusted = value }
      END { emit() }' "$f"
  done
}

# private_apt SUITE: a source list, lists and a cache of its own; the machine's keys and proxy settings. One suite each, for apt
# takes a version from backports even where bookworm was asked for by name.
APT=()
private_apt() {
  local suite=$1 dir=$TMP/apt-$1 entry opts uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  entry=$(machine_mirror | grep -i debian | head -n 1)
  [ -n "$entry" ] || entry=$(machine_mirror | head -n 1)
  uri=${entry##*$'\t'}
  opts=${entry%%$'\t'*}
  [ -n "$uri" ] || die "no Debian archive found in /etc/apt: where to fetch runsc from is not known"
  if [ -z "$opts" ] && [ -r $keyring ]; then opts=" [signed-by=$keyring]"; fi
  APT=(apt-get -q -o "Dir::Etc::SourceList=$dir/sources.list" -o Dir::Etc::SourceParts=/dev/null
    -o Dir::Etc::Preferences=/dev/null -o Dir::Etc::PreferencesParts=/dev/null
    -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o APT::Sandbox::User=root -o Acquire::Languages=none)
  [ ! -d "$dir" ] || return 0
  mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial"
  echo "deb$opts $uri $suite main" >"$dir/sources.list"
  "${APT[@]}" update >"$TMP/apt.log" 2>&1 || { tail -n 20 "$TMP/apt.log" >&2; die "apt-get update of $uri $suite failed"; }
}

# unpack SUITE DIR PACKAGE…
unpack() {
  local suite=$1 dir=$2 p
  shift 2
  private_apt "$suite"
  mkdir -p "$dir/deb"
  for p in "$@"; do
    (cd "$dir/deb" && "${APT[@]}" download "$p" >>"$TMP/apt.log" 2>&1) || { tail -n 20 "$TMP/apt.log" >&2; die "cannot download $p of $suite"; }
  done
  for p in "$dir"/deb/*.deb; do dpkg -x "$p" "$dir/root" || die "cannot unpack ${p##*/}"; done
}

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
