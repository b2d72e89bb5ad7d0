#!/bin/bash
# SPDX-License-Identifier: MIT
# serve.sh: the code execution service of examples/openresty on 127.0.0.1:2000, and its playground; serve.sh terminal: the web terminal of
# examples/terminal on 127.0.0.1:2001. In the foreground, until Ctrl-C.
. "$(dirname "$0")/lib.sh"
case ${1:-} in
  "") example=openresty says="playground: http://127.0.0.1:2000/ · service: http://127.0.0.1:2000/api/v3/ and /api/v2/" ;;
  terminal) example=terminal says="terminal: http://127.0.0.1:2001/" ;;
  *) die "usage: serve.sh [terminal]" ;;
esac
cd "$TREE" || exit 1
scripts/deps.sh serve || exit 1
make --no-print-directory -s all || exit 1
if [ $example = terminal ]; then
  scripts/npm.sh terminal || exit 1
else
  scripts/npm.sh playground || echo "the playground's editor is a plain text field" >&2
fi
SANDBOX_RUNSC=$(find_runsc) || exit 1
export SANDBOX_RUNSC
mkdir -p build/serve
prefix=$TREE
if is_root && ! as_user "$(id -u www-data)" "$(id -g www-data)" test -x "$TREE/build/sandbox-supervisor" 2>/dev/null; then
  # nginx's workers run as www-data, which cannot read a tree below a 0700 directory.
  prefix=$(mktemp -d /tmp/sandbox-serve.XXXXXX)
  trap 'rm -rf "$prefix"' EXIT
  copy_tree "$prefix"
  case $SANDBOX_RUNSC in "$TREE"/*) SANDBOX_RUNSC=$prefix${SANDBOX_RUNSC#"$TREE"} ;; esac
  chmod 755 "$prefix"
  mkdir -p "$prefix/build/serve"
fi
echo "$says · runsc: $SANDBOX_RUNSC"
# nginx itself would take nobody, which is anybody's.
nginx -p "$prefix/" -c "$prefix/examples/$example/nginx.conf" -g "daemon off; $(is_root && echo 'user www-data;')"
