/* SPDX-License-Identifier: MIT
 *
 * img_tree: whole trees, without ever following a link: what is in one, and the end of one.
 */
#ifndef IMG_TREE_H
#define IMG_TREE_H

#include <stdint.h>

struct img_tree {
	uint64_t bytes, files;	/* as they lie on the disk */
	uint64_t devices;	/* that were taken out */
};

/*
 * Counts what is below a path, and takes device nodes out. base: of the ids that guests have, 0: they have this process's own. What
 * belongs to none of them, as a directory on the way to a file does that no layer speaks of, is given to the first. -1 and errno.
 */
int img_tree_look(const char *path, uint32_t base, struct img_tree *t);

/* Gives what belongs to an id from `base` on to that id less base, as it is in the guest. -1 and errno. */
int img_tree_unmap(const char *path, uint32_t base);

/* Removes it with all that is below it. -1 and errno. */
int img_tree_remove(const char *path);

#endif
