#!/bin/bash
# SPDX-License-Identifier: MIT
# deps.sh build|demo|test|serve|network|fuzz|fleet: installs the Debian packages that are missing (root), or names them (everyone else).
. "$(dirname "$0")/lib.sh"

have dpkg-query || die "this script knows Debian's packages only; README.md lists what is needed"
codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")

build="gcc libc6-dev make pkg-config lua5.4 liblua5.4-dev lua-cjson libjson-c-dev libcap-dev"
case $codename in
  # Debian 12's nginx-lua needs OpenResty's branch of LuaJIT, which conflicts with the stock one: one branch for all.
  bookworm) luajit="luajit2 libluajit2-5.1-dev" ;;
  # From 13 on the two are one package.
  *) luajit="luajit libluajit-5.1-dev" ;;
esac
# A private network of a sandbox's own (sandbox-net).
network="libc-ares-dev libmnl-dev libnftnl-dev libseccomp-dev"
nginx="nginx libnginx-mod-http-lua lua-resty-core lua-resty-lrucache lua-nginx-string lua-nginx-websocket lua-nginx-dns lua-nginx-redis curl"
test="lua5.1 liblua5.1-0-dev $luajit lua-busted lua-socket lua-luv lua-cqueues lua-copas lua-coxpcall lua-posix \
 $nginx neovim lua-check lua-ldoc luarocks valgrind spin clang-tidy python3 perl busybox-static procps passwd binutils"
# A machine under emulation, for the kernels that this one is not (spec/support/vm.sh).
test="$test qemu-system-x86 cpio kmod xz-utils"
# System calls that fail.
test="$test strace"
# Containers to run in (spec/containers).
test="$test podman runc jq"
# Images: fetched, unpacked, packed, and a registry to fetch from.
test="$test skopeo umoci erofs-utils e2fsprogs docker-registry"
have go || [ -x /usr/local/go/bin/go ] || test="$test golang-go"
# For the Piston client and the playground's editor. A Node from elsewhere brings its own npm, and Debian's conflicts with it.
npm=
have node && have npm || npm="nodejs npm"
# A browser for the playground.
test="$test $npm chromium fonts-dejavu-core"
# What a sandbox's network is tried with: a few clients in every run of the tests, all of them in `make network`.
test="$test python3-pip openssl"
# libFuzzer.
fuzz="clang libclang-rt-dev"
# A fleet: its broker, and what speaks with it, in plain Lua and in nginx.
fleet="redis-server lua-redis lua-socket"
test="$test $fleet lua-nginx-redis"
# What the examples run in their sandboxes, with the host's /usr as their root: a small installation has no Python.
guests="python3"
clients="git openssh-client openssh-server postgresql"
fetch="ca-certificates"

case ${1:-test} in
  build) want=$build ;;
  demo) want="$build $network $guests $fetch" ;;
  serve) want="$build $network $guests $nginx $npm $fetch" ;;
  test) want="$build $network $test $fetch" ;;
  fuzz) want="$build $test $fuzz $fetch" ;;
  network) want="$build $network $test $clients $fetch" ;;
  fleet) want="$build $network $guests $fleet $fetch" ;;
  *) die "usage: deps.sh build|demo|serve|test|network|fuzz|fleet" ;;
esac

installed=$(dpkg-query -W -f='${db:Status-Abbrev} ${Package}\n' 2>/dev/null | sed -n 's/^.i. *//p')
missing=
for p in $want; do
  grep -qx "$p" <<<"$installed" || missing="$missing $p"
done
missing=${missing# }
[ -n "$missing" ] || exit 0

line="apt-get install -y -o DPkg::Lock::Timeout=300 --no-install-recommends $missing"
if ! is_root; then
  printf 'missing Debian packages: %s\ninstall them with:\n\n  sudo %s\n\n' "$missing" "$line" >&2
  exit 1
fi

echo "installing: $missing"
export DEBIAN_FRONTEND=noninteractive
# A package that starts a daemon (nginx, on port 80 of every address) must not do so for our sake.
policy=/usr/sbin/policy-rc.d
made_policy=
if [ ! -e $policy ]; then
  printf '#!/bin/sh\nexit 101\n' >$policy && chmod 755 $policy && made_policy=1
fi
trap '[ -z "$made_policy" ] || rm -f $policy' EXIT
log=$(mktemp)
apt-get update >"$log" 2>&1 || echo "apt-get update failed; trying with the lists that are here" >&2
if ! $line >>"$log" 2>&1 </dev/null; then
  tail -n 30 "$log" >&2
  rm -f "$log"
  die "could not install: $missing"
fi
rm -f "$log"
