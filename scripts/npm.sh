#!/bin/bash
# SPDX-License-Identifier: MIT
# npm.sh: a client of Piston's API from npm, in build/npm, with this machine's own settings of npm. Nothing is installed elsewhere.
. "$(dirname "$0")/lib.sh"
dest=$TREE/build/npm
[ ! -e "$dest/node_modules/piston-client" ] || exit 0
mkdir -p "$dest" || die "cannot write to $dest"
npm install --prefix "$dest" --ignore-scripts --no-audit --no-fund piston-client@1.0.2 || die "npm cannot fetch piston-client"
