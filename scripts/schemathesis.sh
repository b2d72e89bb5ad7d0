#!/bin/bash
# SPDX-License-Identifier: MIT
# schemathesis.sh: the tester of HTTP APIs from PyPI, in build/schemathesis. Nothing is installed elsewhere.
. "$(dirname "$0")/lib.sh"
dest=$TREE/build/schemathesis
[ ! -e "$dest/schemathesis" ] || exit 0
mkdir -p "$dest" || die "cannot write to $dest"
# By the Python that the rows have.
PATH=$USUAL_PATH python3 -m pip install -q --target "$dest" --no-warn-script-location schemathesis==4.32.5 || die "pip cannot fetch schemathesis"
