#!/bin/bash
# SPDX-License-Identifier: MIT
# vm.sh [--cgroup v2|v1|hybrid|none] [--as root|user|delegate] [--tree DIR] [--timeout S] -- COMMAND…
#
# Runs a command in a throw-away virtual machine under software emulation, for the kernels that this machine is not:
# another cgroup version, or none. The machine's root is this one's, read-only below a layer in memory; DIR is copied to
# /tmp/tree there, and is where COMMAND runs. As `user` it runs in a cgroup of root's, as after a login; as `delegate` in a
# subtree of its own, as systemd's Delegate=yes gives. Output and errors are printed together when it has ended; the status
# is the command's, 125 when the machine failed. The kernel is downloaded once into build/vm, and never installed.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cache=${SANDBOX_VM_CACHE:-$here/build/vm}
cgroup=v2 as=root tree='' seconds=300
fail() { echo "vm.sh: $*" >&2; exit 125; }
while [ $# -gt 0 ]; do
  case $1 in
    --cgroup) cgroup=$2; shift 2 ;;
    --as) as=$2; shift 2 ;;
    --tree) tree=$2; shift 2 ;;
    --timeout) seconds=$2; shift 2 ;;
    --) shift; break ;;
    *) fail "unknown option $1" ;;
  esac
done
[ $# -gt 0 ] || [ "${VM_ONLY_FETCH:-}" ] || fail "no command"
PATH=$PATH:/usr/sbin:/sbin

# --- the kernel: taken out of Debian's package, and out of its compression, which costs seconds under emulation -------------
fetch_kernel() {
  local package image at
  rm -rf "$cache/new" && mkdir -p "$cache/new/deb" && chmod 755 "$cache" || return 1
  package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }')
  [ -n "$package" ] || { apt-get -q update >/dev/null 2>&1; package=$(apt-cache depends linux-image-amd64 | awk '$1 == "Depends:" { print $2; exit }'); }
  (cd "$cache/new/deb" && apt-get -q download "$package" >/dev/null 2>&1) || return 1
  dpkg -x "$cache"/new/deb/*.deb "$cache/new/root" || return 1
  image=$(echo "$cache"/new/root/boot/vmlinuz-*)
  at=$(LC_ALL=C grep -abo -m 1 -P '\xfd7zXZ\x00' "$image" | head -n 1 | cut -d : -f 1)
  [ -n "$at" ] || return 1
  tail -c "+$((at + 1))" "$image" | xz -dc >"$cache/new/vmlinux" 2>/dev/null # what follows the archive is not of it
  [ -s "$cache/new/vmlinux" ] && depmod -b "$cache/new/root" "${image##*/vmlinuz-}"
}

pack_init() {
  local release d=$cache/new/init module
  release=$(basename "$cache"/root/boot/vmlinuz-*)
  release=${release#vmlinuz-}
  mkdir -p "$d"/{bin,modules,proc,dev,lower,layer,root,out} && cp /bin/busybox "$d/bin/busybox" || return 1
  for module in virtio_pci 9pnet_virtio 9p overlay; do
    modprobe -d "$cache/root" -S "$release" --show-depends "$module" | awk '$1 == "insmod" { print $2 }'
  done | awk '!seen[$0]++' | while read -r module; do
    cp "$module" "$d/modules/" && echo "${module##*/}" >>"$d/modules/order"
  done
  [ -s "$d/modules/order" ] || return 1
  first_stage >"$d/init" && second_stage >"$d/second" && chmod 755 "$d/init" || return 1
  (cd "$d" && find . | cpio -o -H newc --quiet) >"$cache/new/initrd"
}

first_stage() {
  cat <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev
while read -r m; do insmod "/modules/$m"; done </modules/order
nine=trans=virtio,version=9p2000.L,msize=512000
mount -t 9p -o $nine,ro,cache=loose host /lower || reboot -f
mount -t 9p -o $nine out /out || reboot -f
mount -t tmpfs -o size=80% layer /layer
mkdir /layer/up /layer/work
mount -t overlay -o lowerdir=/lower,upperdir=/layer/up,workdir=/layer/work overlay /root || reboot -f
cd /root
for m in proc sys dev tmp run; do mkdir -p $m; done
umount /proc
mount -t proc -o nosuid,nodev,noexec proc proc
mount -t sysfs -o nosuid,nodev,noexec sys sys
mount --move /dev dev
mkdir -p dev/pts dev/shm
mount -t devpts -o mode=620,ptmxmode=666 pts dev/pts
mount -t tmpfs -o mode=1777 shm dev/shm
for n in 0:stdin 1:stdout 2:stderr; do ln -s /proc/self/fd/${n%:*} dev/${n#*:}; done
ln -s /proc/self/fd dev/fd
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 run run
mkdir run/out run/host run/vm
mount --move /out run/out
mount --move /lower run/host
cp /bin/busybox /second run/vm/
exec switch_root /root /run/vm/busybox sh /run/vm/second
INIT
}

second_stage() {
  cat <<'SECOND'
b=/run/vm/busybox
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 TERM=dumb
. /run/out/job
$b ifconfig lo up
$b hostname vm
c=/sys/fs/cgroup
hierarchies() {
  $b mount -t tmpfs -o mode=755 cgroup $c
  for n in cpu cpuacct memory pids; do $b mkdir $c/$n; $b mount -t cgroup -o $n cgroup $c/$n; done
}
case $CGROUP in
  v2) $b mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate cgroup2 $c; echo "+cpu +memory +pids" >$c/cgroup.subtree_control ;;
  v1) hierarchies ;;
  hybrid) hierarchies; $b mkdir $c/unified; $b mount -t cgroup2 cgroup2 $c/unified ;;
esac
own=
if [ "$AS" != root ]; then
  echo "guest:x:4242:4242::/tmp/home:/bin/sh" >>/etc/passwd
  echo "guest:x:4242:" >>/etc/group
  $b mkdir -p /tmp/home /run/user/4242
  $b chown 4242:4242 /tmp/home /run/user/4242
  $b chmod 700 /run/user/4242
  if [ "$CGROUP" = v2 ]; then
    login=$c/user.slice/session.scope service=$c/user.slice/user.service
    $b mkdir -p $login $service/shell.scope
    for g in $c/user.slice $service; do echo "+cpu +memory +pids" >$g/cgroup.subtree_control; done
    $b chown -R 4242:4242 $service/shell.scope
    $b chown 4242:4242 $service $service/cgroup.procs $service/cgroup.threads $service/cgroup.subtree_control
    own=$login
    [ "$AS" = user ] || own=$service/shell.scope
  fi
fi
mkdir /tmp/tree
[ -z "$TREE" ] || cp -r "/run/host$TREE/." /tmp/tree/
cp /run/out/command /run/vm/command
chmod -R a+rX /tmp/tree /run/vm
(
  exec </dev/null >/run/out/output 2>&1
  [ -z "$own" ] || echo 0 >$own/cgroup.procs
  cd /tmp/tree
  if [ "$AS" = root ]; then exec $b setsid /bin/bash /run/vm/command; fi
  export HOME=/tmp/home XDG_RUNTIME_DIR=/run/user/4242
  exec $b setsid /usr/bin/setpriv --reuid 4242 --regid 4242 --clear-groups /bin/bash /run/vm/command
)
echo $? >/run/out/status
$b sync
$b reboot -f
SECOND
}

prepare() {
  local p
  for p in qemu-system-x86_64 cpio depmod modprobe busybox xz; do command -v $p >/dev/null || fail "$p is missing"; done
  mkdir -p "$cache" || exit 125
  exec 8>"$cache/lock"
  flock 8
  if [ ! -s "$cache/vmlinux" ]; then
    fetch_kernel || fail "the kernel cannot be had: apt-get download linux-image-amd64"
    rm -rf "$cache/new/deb" "$cache/root" && mv "$cache/new/root" "$cache/new/vmlinux" "$cache/"
  fi
  if [ "${BASH_SOURCE[0]}" -nt "$cache/initrd" ]; then
    rm -rf "$cache/new"
    pack_init || fail "the initial file system cannot be made"
    mv "$cache/new/initrd" "$cache/" && rm -rf "$cache/new"
  fi
  exec 8>&-
}

prepare
[ -z "${VM_ONLY_FETCH:-}" ] || exit 0
out=$(mktemp -d /tmp/sbv.XXXXXX) || exit 125
trap 'rm -rf "$out"' EXIT
printf 'CGROUP=%q AS=%q TREE=%q\n' "$cgroup" "$as" "$tree" >"$out/job"
{ printf 'exec'; printf ' %q' "$@"; echo; } >"$out/command"
# One processor: two that wait for each other burn twice as much. Without what a kernel does against attackers and for debugging.
plain="mitigations=off init_on_alloc=0 hardened_usercopy=off randomize_kstack_offset=off nokaslr nosmap nosmep no5lvl audit=0 apparmor=0"
timeout --foreground -k 5 "$seconds" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 1 -m 2048 -nodefaults -no-user-config \
  -display none -no-reboot -kernel "$cache/vmlinux" -initrd "$cache/initrd" -append "quiet panic=-1 $plain console=ttyS0" \
  -serial "file:$out/console" \
  -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
  -virtfs "local,path=$out,mount_tag=out,security_model=none" </dev/null >"$out/qemu" 2>&1
rc=$?
cat "$out/output" 2>/dev/null
if [ ! -s "$out/status" ]; then
  tail -n 20 "$out/qemu" "$out/console" >&2
  [ $rc != 124 ] || fail "not ended after $seconds s"
  fail "the machine ended without a status (qemu: $rc)"
fi
exit "$(cat "$out/status")"
