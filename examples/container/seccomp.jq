# SPDX-License-Identifier: MIT
# Docker's default seccomp profile, and what a gVisor sandbox needs besides when the container has no CAP_SYS_ADMIN: namespaces (clone with
# its flags, unshare, setns), a root of its own (mount and umount2 and what has come after them, pivot_root, chroot).
.syscalls += [{
  names: ["clone", "unshare", "setns", "mount", "umount2", "open_tree", "move_mount", "mount_setattr", "pivot_root", "chroot"],
  action: "SCMP_ACT_ALLOW",
  comment: "gVisor sandboxes made by an ordinary user"
}]
