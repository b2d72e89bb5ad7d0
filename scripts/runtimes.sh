#!/bin/bash
# SPDX-License-Identifier: MIT
# runtimes.sh: installs every runtime and tool that spec/runtimes knows (root), and has each do its task as root and as a user, on two
# generations of runsc. `make test` does so, once, with what is installed anyway.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
is_root || die "must be root: it installs packages, and runs as another user"
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends default-jdk-headless python3-numpy ruby php-cli php-xml php-mbstring \
  perl r-base-core golang-go rustc gcc g++ libc6-dev fp-compiler fp-units-rtl fp-units-fcl ocaml-nox ghc swi-prolog-nox sbcl sqlite3 git openssl \
  imagemagick graphviz fonts-dejavu-core gdb valgrind openssh-client >/dev/null || die "could not install the runtimes"
have node && have npm || apt-get install -y --no-install-recommends nodejs npm >/dev/null || die "could not install Node"
SANDBOX_TEST_RUNTIMES=1 exec scripts/test.sh runtimes-
