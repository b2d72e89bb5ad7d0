#!/bin/bash
# SPDX-License-Identifier: MIT
# Shared by the scripts beside it: packages of any suite of the machine's own mirror, downloaded and unpacked into $TMP, never
# installed.

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
  [ -n "$uri" ] || die "no Debian archive found in /etc/apt: where to fetch packages from is not known"
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
