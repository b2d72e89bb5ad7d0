#!/bin/bash
# SPDX-License-Identifier: MIT
# nvim.sh [SUITE]: a newer Neovim than the machine's, with every library it needs, in build/nvim-SUITE; build/nvim-SUITE/nvim
# starts it with its own C library. Debian 13 has 0.10.
. "$(dirname "$0")/lib.sh"
. "$TREE/scripts/apt.sh"
SUITE=${1:-trixie}
DEST=$TREE/build/nvim-$SUITE
export LC_ALL=C
if [ -x "$DEST/nvim" ]; then exit 0; fi
TMP=$(mktemp -d "$TREE/build/.nvim.XXXXXX") || exit 1
trap 'rm -rf "$TMP"' EXIT
unpack "$SUITE" "$TMP/nvim" neovim libgcc-s1
# The first of each alternative, without versions.
needs=$(dpkg-deb -f "$TMP"/nvim/deb/neovim_*.deb Depends | sed 's/([^)]*)//g; s/|[^,]*//g; s/,/ /g')
# shellcheck disable=SC2086
unpack "$SUITE" "$TMP/nvim" $needs
cat >"$TMP/nvim/root/nvim" <<'END'
#!/bin/sh
root=$(cd "$(dirname "$0")" && pwd)
lib=$root/usr/lib/x86_64-linux-gnu
export VIM="$root/usr/share/nvim" VIMRUNTIME="$root/usr/share/nvim/runtime"
exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib" "$root/usr/bin/nvim" --cmd "set rtp+=$root/usr/lib/nvim" "$@"
END
chmod 755 "$TMP/nvim/root/nvim"
"$TMP/nvim/root/nvim" --version >/dev/null || die "the Neovim of $SUITE does not run here"
rm -rf "$DEST" && mv "$TMP/nvim/root" "$DEST"
