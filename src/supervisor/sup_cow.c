/* SPDX-License-Identifier: MIT */
#include "sup_cow.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "sup_bind.h"
#include "sup_idmap.h"
#include "sup_path.h"
#include "sup_refusal.h"

/* What is being made: the descriptors are make_one's. */
struct cow {
	const struct sup_request *r;
	const struct sup_dir *d;
	size_t i;
	unsigned long long size;	/* 0: none of its own */
	const char *path;
	int lower, mapped;	/* the directory, and the same with its ids mapped; -1: none */
	struct stat st;		/* of the directory */
};

static void close_keeping(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
}

/* RUN/m/c/N and the like: made, and open. */
static int make_dir(const struct cow *c, const char *kind)
{
	char name[40];

	(void)snprintf(name, sizeof(name), "m/c/%zu%s", c->i, kind);
	if (mkdirat(c->d->fd, name, 0711) < 0 || fchmodat(c->d->fd, name, 0711, 0) < 0)
		return -1;
	return openat(c->d->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* The directory with its owner as the guest's user. Not the host's own root, whose secrets are root's; nor what belongs to a guest's ids. */
static int map_owner(const struct cow *c)
{
	const struct sup_request *r = c->r;
	struct stat top;
	char name[40];
	int m, rc;

	if (r->rootless || stat("/", &top) < 0 || (c->st.st_dev == top.st_dev && c->st.st_ino == top.st_ino) ||
	    (c->st.st_uid >= r->map_base && c->st.st_uid - r->map_base < SUP_IDMAP_SIZE))
		return -1;
	m = openat(c->d->fd, "m/c", O_PATH | O_DIRECTORY | O_CLOEXEC);
	(void)snprintf(name, sizeof(name), "%zu-mapped", c->i);
	rc = m < 0 ? -1 : sup_idmap(c->lower, &(struct sup_idmap){
		.base = r->map_base, .swap = true, .uid = { c->st.st_uid, r->uid }, .gid = { c->st.st_gid, r->gid } }, m, name);
	close_keeping(m);
	return rc;
}

/* Where the layer lies: in the store, or in a tmpfs of the size that was asked for. */
static int layer_base(const struct cow *c)
{
	char options[64], path[320], name[40];
	int fd;

	if (!c->size)
		return openat(c->d->fd, "m/d", O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = make_dir(c, "-layer");
	if (fd < 0)
		return -1;
	close_keeping(fd);
	(void)snprintf(name, sizeof(name), "m/c/%zu-layer", c->i);
	(void)snprintf(options, sizeof(options), "mode=0711,size=%llu", c->size);
	if (mount("tmpfs", sup_dir_at(c->d, name, path, sizeof(path)), "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return -1;
	return openat(c->d->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int mount_layer(const struct cow *c)
{
	const struct sup_request *r = c->r;
	struct sup_bind_layer layer = { -1, -1 };
	char name[40];
	int target = make_dir(c, ""), base = target < 0 ? -1 : layer_base(c), rc = -1;

	(void)snprintf(name, sizeof(name), "cow-%zu", c->i);
	if (base >= 0 && sup_bind_layer_make(&layer, base, name, c->st.st_mode & 0777) == 0) {
		/* What is above shows its owner, too. */
		rc = r->rootless ? 0 : fchown(layer.upper, r->map_base + r->uid, r->map_base + r->gid);
		if (rc == 0)
			rc = c->mapped < 0 ? -1 : sup_bind_layer_mount(&layer, c->mapped, target, MS_NOSUID | MS_NODEV, false);
		if (rc < 0)
			rc = sup_bind_layer_mount(&layer, c->lower, target, MS_NOSUID | MS_NODEV, r->rootless);
		sup_bind_layer_close(&layer);
	}
	close_keeping(base);
	close_keeping(target);
	return rc;
}

/* As a part of the root. */
static int place_inside(const struct cow *c, int root)
{
	int target = sup_path_open(root, c->r->cow_places.item[c->i], O_PATH | O_DIRECTORY, 0);
	int rc = target < 0 ? -1 : sup_bind(c->mapped < 0 ? c->lower : c->mapped, target, SUP_BIND_RDONLY | SUP_BIND_NOSUID | SUP_BIND_NODEV);

	close_keeping(target);
	return rc;
}

static int make_one(struct cow *c, int root, struct sup_error *e)
{
	char why[SUP_REFUSAL_MAX];
	int rc;

	c->lower = open(c->path, O_PATH | O_CLOEXEC);
	if (c->lower < 0 || fstat(c->lower, &c->st) < 0 || !S_ISDIR(c->st.st_mode)) {
		const char *what = c->lower < 0 ? strerror(errno) : "it is no directory";

		close_keeping(c->lower);
		return sup_error(e, "bad_rootfs", "mount source %s: %s", c->path, what);
	}
	c->mapped = map_owner(c);
	rc = c->r->inside && !c->size ? place_inside(c, root) : mount_layer(c);
	close_keeping(c->mapped);
	close_keeping(c->lower);
	if (rc < 0)
		return sup_error(e, "not_supported", "cannot mount a private layer over %s: %s%s", c->path, strerror(errno), !c->r->rootless ? "" :
				 errno == EINVAL ? " (as an ordinary user it must not have other file systems mounted in it)" :
				 sup_refusal(SUP_REFUSED_MOUNT, errno, true, why));
	return 0;
}

/* An item: "SIZE PATH". */
static const char *split(const char *item, unsigned long long *size)
{
	char *end;

	*size = strtoull(item, &end, 10);
	return end + 1;
}

int sup_cow_make(const struct sup_request *r, const struct sup_dir *d, int root, struct sup_error *e)
{
	if (r->cows.n && (mkdirat(d->fd, "m/c", 0711) < 0 || fchmodat(d->fd, "m/c", 0711, 0) < 0))
		return sup_error(e, "system", "cannot make a place for mounts: %s", strerror(errno));
	for (size_t i = 0; i < r->cows.n; i++) {
		struct cow c = { .r = r, .d = d, .i = i, .lower = -1, .mapped = -1 };

		c.path = split(r->cows.item[i], &c.size);
		if (make_one(&c, root, e) < 0)
			return -1;
	}
	return 0;
}

unsigned long long sup_cow_usage(const struct sup_request *r, const struct sup_dir *d)
{
	unsigned long long used = 0, size;
	char path[320], name[40];
	struct statvfs s;

	for (size_t i = 0; i < r->cows.n; i++) {
		(void)split(r->cows.item[i], &size);
		(void)snprintf(name, sizeof(name), "m/c/%zu-layer", i);
		if (size && statvfs(sup_dir_at(d, name, path, sizeof(path)), &s) == 0)
			used += (unsigned long long)(s.f_blocks - s.f_bfree) * s.f_frsize;
	}
	return used;
}
