/* SPDX-License-Identifier: MIT
 *
 * sup_idmap: a directory as it is, but for whose its files are: an id-mapped mount (mount_setattr(2)). What is root's on the host
 * is then the guest's root's in the guest, to read and, through an overlay, to write; the directory itself is never written.
 */
#ifndef SUP_IDMAP_H
#define SUP_IDMAP_H

#include <stdbool.h>
#include <stdint.h>

/* Ids that a guest has, as in lua/sandbox/machine/uids.lua. */
#define SUP_IDMAP_SIZE 65536u

/* Host id n is base + n, for n below SUP_IDMAP_SIZE. With `swap` the first of each pair is base + the second, and the second base + the first. */
struct sup_idmap {
	uint32_t base;
	bool swap;
	uint32_t uid[2], gid[2];
};

/*
 * Mounts the directory `source`, without what is mounted below it, at base/name, which is made. Needs CAP_SYS_ADMIN and CAP_SETUID, and a
 * file system that can. Returns it, open, which is the caller's; -1 and errno.
 */
int sup_idmap(int source, const struct sup_idmap *map, int base, const char *name);

#endif
