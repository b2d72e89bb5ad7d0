#!/bin/bash
# SPDX-License-Identifier: MIT
# npm.sh [playground|terminal]: what the examples' pages and the tests take from npm, in build/npm, build/playground and build/terminal, with
# this machine's own settings of npm. Nothing is installed elsewhere, and no package's script is run.
. "$(dirname "$0")/lib.sh"
npm_dir=$TREE/build/npm
editor=(codemirror@5.65.20) # version 5 needs no other packages
xterm=(@xterm/xterm@6.0.0 @xterm/addon-fit@0.11.0)

# get PACKAGE@VERSION…: those that are not there
get() {
  local p want=()
  for p in "$@"; do [ -e "$npm_dir/node_modules/${p%@*}" ] || want+=("$p"); done
  [ ${#want[@]} -gt 0 ] || return 0
  mkdir -p "$npm_dir" || die "cannot write to $npm_dir"
  npm install --prefix "$npm_dir" --ignore-scripts --no-audit --no-fund "${want[@]}" || die "npm cannot fetch ${want[*]}"
}

# What the pages ask for, and no more.
playground() {
  local to=$TREE/build/playground/codemirror
  get "${editor[@]}"
  mkdir -p "$to" && cp -r "$npm_dir"/node_modules/codemirror/{LICENSE,lib,mode,addon} "$to/" || die "cannot copy the editor to $to"
}
terminal() {
  local to=$TREE/build/terminal from=$npm_dir/node_modules/@xterm
  get "${xterm[@]}"
  mkdir -p "$to" && cp "$from"/xterm/{LICENSE,lib/xterm.js,css/xterm.css} "$from/addon-fit/lib/addon-fit.js" "$to/" || die "cannot copy xterm.js to $to"
}

case ${1:-all} in
  playground) playground ;;
  terminal) terminal ;;
  all) get piston-client@1.0.2 "${editor[@]}" "${xterm[@]}" && playground && terminal ;;
  *) die "usage: npm.sh [playground|terminal]" ;;
esac
