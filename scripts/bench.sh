#!/bin/bash
# SPDX-License-Identifier: MIT
# bench.sh [PAIRS]: bench/bench.lua, warm.lua, images.lua and network.lua on each build of runsc, as root and as an ordinary user; prints, and writes
# bench/results/DATE.txt, and what was measured in DATE.tsv (bench/pairs.lua), of which scripts/bench-report.sh makes a page.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
PAIRS=${1:-30}
scripts/deps.sh test || exit 1
make --no-print-directory -s all || exit 1
scripts/runsc.sh >/dev/null || exit 1
gcc -O2 -Wall -Wextra bench/peer.c -o build/bench-peer || exit 1
gcc -O2 -Wall -Wextra -D_GNU_SOURCE bench/floor.c -o build/bench-floor || exit 1
gcc -O2 -Wall -Wextra -D_GNU_SOURCE -static bench/answer.c -o build/bench-answer || exit 1
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
copy_tree "$work/t"
mkdir -m 700 "$work/home"
install -m 666 /dev/null "$work/raw.tsv"
uid=$(id -u) gid=$(id -g)
if is_root; then
  ensure_test_user
  uid=$(id -u "$TEST_USER") gid=$(id -g "$TEST_USER")
  chown "$uid:$gid" "$work/home"
fi
# The third peer, where pip is there and the network lets it; never outside this directory.
sdk=
if python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --target "$work/sdk" gvisor >/dev/null 2>&1; then sdk=$work/sdk; fi

# An image of what this machine's Python, gcc and Node are made of, by its packages.
make_image() { # DIRECTORY
  apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances --installed \
    python3 gcc libc6-dev nodejs dash coreutils base-files 2>/dev/null | grep '^[a-z]' | sort -u | xargs dpkg -L 2>/dev/null |
    sed -E 's,^/(s?bin|lib(32|64|x32)?)/,/usr/\1/,' | grep -Ev '^/(\.|usr/share/(doc|man|locale|info|lintian)(/|$))' | sort -u >"$1/names"
  printf '%s\n' /bin /sbin /lib /lib64 /usr/lib64 /usr/sbin /tmp /proc /sys /dev >>"$1/names"
  tar -C / --no-recursion --ignore-failed-read -cf "$1/layer.tar" -T <(sed 's,^/,,' "$1/names" | sort -u) 2>/dev/null
  umoci init --layout "$1/oci" && umoci new --image "$1/oci:bench" && umoci raw add-layer --image "$1/oci:bench" "$1/layer.tar" && rm "$1/layer.tar" "$1/names"
}
mkdir -m 755 "$work/image"
make_image "$work/image" && chmod -R go+rX "$work/image" || exit 1

mkdir -p bench/results
out=bench/results/$(date +%Y-%m-%d).txt
failed=0
bench() { # YEAR root|user
  local drop=() what=speed unpack= home=$work/home
  if is_root && [ "$2" = user ]; then drop=(setpriv --reuid "$uid" --regid "$gid" --clear-groups); fi
  if [ "$2" = root ]; then home=$work; fi
  if [ "$1-$2" = 2024-root ]; then what=all unpack=unpack; fi
  (cd "$work/t" && "${drop[@]}" env -i PATH="${PATH}" HOME="$home" LANG=C.UTF-8 SANDBOX_TEST_BUILD="$1" SANDBOX_BENCH_SDK="$sdk" SANDBOX_BENCH_RAW="$work/raw.tsv" \
    SANDBOX_RUNSC="$work/t/build/runsc/$1/runsc" LUA_PATH="lua/?.lua;lua/?/init.lua;;" LUA_CPATH="build/5.4/?.so;;" \
    bash -c 'lua5.4 bench/bench.lua "$0" "$1" && lua5.4 bench/warm.lua "$(($0 * 2))" && lua5.4 bench/images.lua "$3" "$0" $4 && { [ "$2" = 2022-user ] || lua5.4 bench/network.lua "$0"; }' "$PAIRS" "$what" "$1-$2" "oci:$work/image/oci:bench" "$unpack")
}
{
  echo "$(date -u +%Y-%m-%dT%H:%MZ), Linux $(uname -r), $(nproc) processors: $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
  echo "load $(cut -d ' ' -f 1-3 /proc/loadavg), commit $(git rev-parse --short HEAD 2>/dev/null || echo unknown)"
  for year in 2022 2024 2026; do
    for who in root user; do
      if [ $who = root ] && ! is_root; then continue; fi
      bench $year $who || echo "  failed"
    done
  done
} 2>&1 | tee "$out"
cp "$work/raw.tsv" "${out%.txt}.tsv"
! grep -q '^  failed' "$out" || failed=1
echo "written to $out"
exit $failed
