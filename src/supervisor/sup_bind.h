/* SPDX-License-Identifier: MIT
 *
 * sup_bind: mounts from descriptor to descriptor. Between the look at a path and its use somebody else may change what it leads to,
 * and a path may hold what a file system's options take for their own; a descriptor stays what it was and is a number.
 */
#ifndef SUP_BIND_H
#define SUP_BIND_H

#include <stdbool.h>
#include <sys/types.h>

/* Attributes, as mount_setattr(2) has them. */
#define SUP_BIND_RDONLY 0x1
#define SUP_BIND_NOSUID 0x2
#define SUP_BIND_NODEV 0x4

/*
 * Binds what `source` is, with all that is mounted below it, over what `target` is; the attributes go to all of it, and none is taken
 * away, so it works in a user namespace. Both must have been opened in this mount namespace; O_PATH will do. -1 and errno.
 */
int sup_bind(int source, int target, unsigned attributes);

/* The same without what is mounted below it, its ids mapped by the user namespace `ns` (mount_setattr(2)). -1 and errno. */
int sup_bind_mapped(int source, int target, int ns);

/* Moves the mount that `what` is over what `target` is: one that is in no mount namespace yet, or in ours. -1 and errno. */
int sup_bind_move(int what, int target);

/* An overlay's own part, in base/name: its descriptors are the caller's. */
struct sup_bind_layer {
	int upper, work;
};

/* Makes it; its root has this mode. What is in it before the mount covers what is below, by the rules of overlayfs. -1 and errno. */
int sup_bind_layer_make(struct sup_bind_layer *l, int base, const char *name, mode_t mode);
/* Mounts a private overlay over the directory `lower`, which is never written, at `target`. flags: as mount(2). -1 and errno. */
int sup_bind_layer_mount(const struct sup_bind_layer *l, int lower, int target, unsigned long flags, bool user);
/* Keeps errno. */
void sup_bind_layer_close(struct sup_bind_layer *l);

/* The three together, for a layer that is empty. */
int sup_bind_overlay(int lower, int target, int base, const char *name, mode_t mode, unsigned long flags, bool user);

#endif
