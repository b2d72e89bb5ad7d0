/* SPDX-License-Identifier: MIT */
#include "sup_bind.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* linux/mount.h has these, and cannot be included beside sys/mount.h everywhere. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x04
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

/* MOUNT_ATTR_IDMAP. */
#define MAPPED_IDS 0x00100000u

/* struct mount_attr of linux/mount.h, as of Linux 5.12. */
struct attributes {
	uint64_t set, clear, propagation, userns;
};

int sup_bind_move(int what, int target)
{
	return (int)syscall(SYS_move_mount, what, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

static int bind_tree(int source, int target, const struct attributes *a, unsigned depth)
{
	int rc = -1, saved;
	int tree = (int)syscall(SYS_open_tree, source, "", OPEN_TREE_CLONE | O_CLOEXEC | AT_EMPTY_PATH | depth);

	if (tree < 0)
		return -1;
	if (!a->set || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | depth, a, sizeof(*a)) == 0)
		rc = sup_bind_move(tree, target);
	saved = errno;
	(void)close(tree);
	errno = saved;
	return rc;
}

int sup_bind(int source, int target, unsigned attributes)
{
	return bind_tree(source, target, &(struct attributes){ .set = attributes }, AT_RECURSIVE);
}

int sup_bind_mapped(int source, int target, int ns)
{
	return bind_tree(source, target, &(struct attributes){ .set = MAPPED_IDS, .userns = (uint64_t)ns }, 0);
}

/* A directory of ours, open. */
static int make(int dir, const char *name, mode_t mode)
{
	if (mkdirat(dir, name, 0700) < 0 && errno != EEXIST)	/* a second try */
		return -1;
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && fchmod(fd, mode) < 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

int sup_bind_layer_make(struct sup_bind_layer *l, int base, const char *name, mode_t mode)
{
	int layer = make(base, name, 0711);

	l->upper = layer < 0 ? -1 : make(layer, "u", mode);
	l->work = l->upper < 0 ? -1 : make(layer, "w", 0700);
	int saved = errno;

	if (layer >= 0)
		(void)close(layer);
	errno = saved;
	if (l->work >= 0)
		return 0;
	sup_bind_layer_close(l);
	return -1;
}

int sup_bind_layer_mount(const struct sup_bind_layer *l, int lower, int target, unsigned long flags, bool user)
{
	char options[160], at[32];

	(void)snprintf(options, sizeof(options), "lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d%s", lower,
		       l->upper, l->work, user ? ",userxattr" : "");
	(void)snprintf(at, sizeof(at), "/proc/self/fd/%d", target);
	return mount("overlay", at, "overlay", flags, options);
}

void sup_bind_layer_close(struct sup_bind_layer *l)
{
	int saved = errno;

	if (l->upper >= 0)
		(void)close(l->upper);
	if (l->work >= 0)
		(void)close(l->work);
	l->upper = l->work = -1;
	errno = saved;
}

int sup_bind_overlay(int lower, int target, int base, const char *name, mode_t mode, unsigned long flags, bool user)
{
	struct sup_bind_layer layer;

	if (sup_bind_layer_make(&layer, base, name, mode) < 0)
		return -1;
	int rc = sup_bind_layer_mount(&layer, lower, target, flags, user);

	sup_bind_layer_close(&layer);
	return rc;
}
