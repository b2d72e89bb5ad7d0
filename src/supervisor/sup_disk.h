/* SPDX-License-Identifier: MIT
 *
 * sup_disk: a directory of a size that is held: an ext4 in a file, on a loop device. Nobody but us and the kernel writes the file
 * itself, so what is in it is the kernel's own, and no guest's. Only root can have one (mount(2): ext4 mounts in no user namespace).
 *
 * The mount is in no mount namespace until it is moved to one of ours, and ends with that or with its descriptor. The loop device goes with
 * the last of the mount (LO_FLAGS_AUTOCLEAR), and until then it has the file as it was opened here: so a lock on that descriptor (flock(2))
 * lasts until nothing is left that could write the file, and no two file systems are ever on it at once, however who had it died.
 */
#ifndef SUP_DISK_H
#define SUP_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "sup_error.h"
#include "sup_host.h"
#include "sup_request.h"

/*
 * Makes dir/name, of `size` bytes, which it takes at once, with an empty root that everybody may write; nothing has a name before it is whole. Starts mkfs.ext4, and
 * waits for it. Who was first has made it: that is no error, whatever it is. The request is for sup_spawn.h. -1: e is set.
 */
int sup_disk_make(int dir, const char *name, uint64_t size, const struct sup_request *r, const struct sup_host *h, struct sup_error *e);

/* Mounts the file, nosuid and nodev; the mount, open, is the caller's. A reader's file is opened O_RDONLY. `name` is for the message. -1: e is set. */
int sup_disk_mount(int file, const char *name, bool readonly, struct sup_error *e);

#endif
