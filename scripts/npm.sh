#!/bin/bash
# SPDX-License-Identifier: MIT
# npm.sh: what the tests and the playground take from npm, in build/npm and build/playground, with this machine's own settings of npm.
# npm.sh playground: the playground's editor only. Nothing is installed elsewhere, and no package's script is run.
. "$(dirname "$0")/lib.sh"
npm_dir=$TREE/build/npm
# The editor's files that the page asks for; version 5 has no other packages.
editor=codemirror@5.65.20

# get PACKAGE@VERSION…: those that are not there
get() {
  local p want=()
  for p in "$@"; do [ -e "$npm_dir/node_modules/${p%@*}" ] || want+=("$p"); done
  [ ${#want[@]} -gt 0 ] || return 0
  mkdir -p "$npm_dir" || die "cannot write to $npm_dir"
  npm install --prefix "$npm_dir" --ignore-scripts --no-audit --no-fund "${want[@]}" || die "npm cannot fetch ${want[*]}"
}

case ${1:-all} in
  playground) get "$editor" ;;
  all) get piston-client@1.0.2 "$editor" ;;
  *) die "usage: npm.sh [playground]" ;;
esac
mkdir -p "$TREE/build/playground/codemirror" && cp -r "$npm_dir"/node_modules/codemirror/{LICENSE,lib,mode,addon} "$TREE/build/playground/codemirror/" ||
  die "cannot copy the editor to $TREE/build/playground"
