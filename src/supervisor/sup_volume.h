/* SPDX-License-Identifier: MIT
 *
 * sup_volume: directories that are kept from one sandbox to the next, for one writer or many readers. Each is VOLUME_DIR/NAME: a directory,
 * or where it was made with a size a file with a file system in it (sup_disk.h); no guest can make one into the other. Who has it holds a
 * lock on it, shared or exclusive, which ends with the supervisor, however that ends. VOLUME_DIR is this user's alone, for there are files
 * of guests' ids in it.
 */
#ifndef SUP_VOLUME_H
#define SUP_VOLUME_H

#include <stddef.h>

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_host.h"
#include "sup_request.h"

struct sup_volume {
	const char *path;	/* the request's */
	int fd;			/* with its lock */
	int mount;		/* of one that has a size; -1: it has none */
};

struct sup_volumes {
	struct sup_volume *item;
	size_t n;
};

/*
 * Makes those that are not there, and takes their locks; notes this as their last use. Those that have a size are mounted, in no namespace
 * yet. Who has just ended may still have one: that is waited for, for SBX_VOLUME_SECONDS. -1: e is set, `busy` where somebody else has one,
 * `bad_rootfs` where it is there with another size than was asked for.
 */
int sup_volume_hold(struct sup_volumes *v, const struct sup_request *r, const struct sup_host *h, struct sup_error *e);
/* Moves the mounts to RUN/m/v/N, in the mount namespace that we are in now. -1 and errno. */
int sup_volume_place(const struct sup_volumes *v, const struct sup_dir *d);
/* The mount of the volume that has this path, which stays v's; -1: it has no size, or this is no volume's. */
int sup_volume_mount(const struct sup_volumes *v, const char *path);
void sup_volume_release(struct sup_volumes *v);

#endif
