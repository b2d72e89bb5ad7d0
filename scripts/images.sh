#!/bin/bash
# SPDX-License-Identifier: MIT
# images.sh [DIRECTORY]: what takes long of images, as root. Debian by debootstrap (or what is in DIRECTORY) with two layers above it is listed in a
# sandbox, on each build, as root and as an ordinary user, and by podman: the lists must be the same, but for what is known (below). Then
# 50 processes are killed while they fetch and unpack, 20 start one image at once, and images are pruned under starts.
. "$(dirname "$0")/lib.sh"
cd "$TREE" || exit 1
is_root || die "only root can"
scripts/deps.sh test || exit 1
make --no-print-directory -s all || exit 1
scripts/runsc.sh >/dev/null || exit 1
have debootstrap || apt-get install -qq -y debootstrap >/dev/null || die "debootstrap is missing"
ensure_test_user
work=$(mktemp -d /tmp/sbt.XXXX) || exit 1
done_with() {
  umount "$work/podman/overlay" 2>/dev/null
  rm -rf "$work"
}
trap done_with EXIT
chmod 711 "$work"
copy_tree "$work/t"
base=${1:-$work/debian}
[ -n "${1:-}" ] || debootstrap --variant=minbase bookworm "$base" >"$work/log" 2>&1 || die "debootstrap: $(tail -n 3 "$work/log")"

mkdir "$work/l"
gcc -std=gnu11 -D_GNU_SOURCE -O1 -static -o "$work/listing" spec/support/listing.c || exit 1
tar -C "$base" --numeric-owner -cf "$work/l/1.tar" --exclude='./dev/*' --exclude='./var/cache/apt/archives/*.deb' --exclude='./var/lib/apt/lists/*' . &&
  python3 spec/support/debian.py "$work/l" "$base" "$work/listing" && umoci init --layout "$work/oci" && umoci new --image "$work/oci:deb" || exit 1
for i in 1 2 3; do umoci raw add-layer --image "$work/oci:deb" "$work/l/$i.tar" || exit 1; done
umoci config --image "$work/oci:deb" --config.user app --config.cmd id || exit 1
chmod -R go+rX "$work/oci"

list=(/listing / ./proc ./sys ./dev ./tmp ./work ./run ./etc/hosts ./etc/resolv.conf ./etc/hostname ./etc/mtab)
pod=(podman --root "$work/podman" --runroot "$work/run" run --rm --quiet --network none --runtime /usr/sbin/runc --ulimit nofile=1024:4096 --ulimit nproc=4096:4096)
{ cd "$work" && "${pod[@]}" oci:oci:deb && "${pod[@]}" --user 0 oci:oci:deb "${list[@]}" && cd "$TREE"; } >"$work/theirs" || die "podman failed"
sed -i 's/^\. d0555 /. d0755 /' "$work/theirs" # podman's own root directory
echo "podman: $(($(wc -l <"$work/theirs") - 2)) files"

failed=0
told() { if [ "$2" = 0 ]; then echo "ok $1"; else echo "not ok $1"; failed=1; fi; }
compare() { # YEAR root|user
  local drop=() theirs=$work/theirs edit='s/ user\.rootlesscontainers=[0-9a-f]*//'
  mkdir -m 700 "$work/$1-$2"
  if [ "$2" = user ]; then
    drop=(setpriv --reuid "$TEST_USER" --regid "$TEST_USER" --clear-groups)
    chown "$TEST_USER" "$work/$1-$2"
    # All files are the guest's root's, and umoci keeps whose they were in an attribute.
    theirs=$work/theirs.user
    sed -E '2,$s/ [0-9]+:[0-9]+/ 0:0/' "$work/theirs" >"$theirs"
  fi
  if [ "$1" != 2026 ]; then # gVisor shows no attributes of the host's files there
    sed -E 's/ user\.note=[0-9a-f]*//' "$theirs" >"$work/theirs.$1"
    theirs=$work/theirs.$1
  fi
  (cd "$work/t" && "${drop[@]}" env -i PATH="$PATH" HOME=/nonexistent SANDBOX_RUNSC="$work/t/build/runsc/$1/runsc" LUA_PATH="lua/?.lua;lua/?/init.lua;;" \
    LUA_CPATH="build/5.4/?.so;;" bash -c '
      run() { lua5.4 bin/sandbox run --image-dir "$0" --image "$@"; }
      image=$1; shift
      run "$image" && run "$image" --user 0 --cwd / --capability CAP_DAC_OVERRIDE --output 16M --timeout 120 -- "$@"' \
    "$work/$1-$2" "oci:$work/oci:deb" "${list[@]}") | sed -E "$edit" >"$work/ours"
  diff "$theirs" "$work/ours" | head -n 20
  told "Debian in a sandbox and by podman, $2 on $1" "${PIPESTATUS[0]}"
}
for year in 2022 2024 2026; do
  for who in root user; do compare $year $who; done
done
(cd "$work/t" && SANDBOX_TEST_ALL=1 SANDBOX_TEST_BUILD=2024 SANDBOX_RUNSC="$work/t/build/runsc/2024/runsc" LUA_PATH="lua/?.lua;lua/?/init.lua;spec/?.lua;;" \
  LUA_CPATH="build/5.4/?.so;;" lua5.4 "$(command -v busted)" -o TAP --no-recursive --filter=killed --filter=twenty --filter='taken away' spec/module/images_spec.lua)
told "kills, twenty at once, pruning" $?
exit $failed
