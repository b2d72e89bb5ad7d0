/* SPDX-License-Identifier: MIT */
#include "sup_volume.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sbx_volume.h"
#include "sup_bind.h"
#include "sup_disk.h"

/* Where they are kept: made, open, and nobody else's. */
static int open_dir(const char *path, struct sup_error *e)
{
	struct stat st;
	int fd = -1;

	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return sup_error(e, "not_supported", "volumes cannot be kept in %s: %s", path, strerror(errno));
	if (fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 0077))
		return fd;
	(void)close(fd);
	return sup_error(e, "not_supported", "volumes cannot be kept in %s, which is not yours alone (chmod 700)", path);
}

/* What is asked for. */
struct want {
	const struct sup_request *r;
	const struct sup_host *h;
	const char *name;
	bool readonly;
	uint64_t size;	/* 0: what it has, and a new one has none */
};

/* One of them as it is now, open; made, if it is not there. -1: e is set, or it was taken away meanwhile. */
static int open_volume(int dir, const struct want *w, struct sup_error *e)
{
	struct stat st;
	bool there = fstatat(dir, w->name, &st, AT_SYMLINK_NOFOLLOW) == 0, made = false, sized = there ? S_ISREG(st.st_mode) : w->size > 0;

	if (!there && sized && sup_disk_make(dir, w->name, w->size, w->r, w->h, e) < 0)
		return -1;
	if (!there && !sized)
		made = mkdirat(dir, w->name, 0700) == 0;
	int fd = openat(dir, w->name, (sized ? w->readonly ? O_RDONLY : O_RDWR : O_RDONLY | O_DIRECTORY) | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd >= 0 && made)
		(void)fchmod(fd, 0777);	/* whichever user a guest has */
	return fd < 0 && errno != ENOENT ? sup_error(e, "not_supported", "volume %s: %s", w->name, strerror(errno)) : fd;
}

/* It may be taken away between its look-up and its lock. */
static bool stands(int dir, const char *name, int fd)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static int lock(int dir, const struct want *w, struct sup_error *e)
{
	double limit = sbx_time_now() + SBX_VOLUME_SECONDS;

	for (;;) {
		int fd = open_volume(dir, w, e);

		if (sup_error_set(e))
			return -1;
		bool locked = fd >= 0 && flock(fd, (w->readonly ? LOCK_SH : LOCK_EX) | LOCK_NB) == 0;

		if (locked && stands(dir, w->name, fd)) {
			(void)futimens(fd, NULL);
			return fd;
		}
		if (fd >= 0)
			(void)close(fd);
		if (!locked && sbx_time_now() > limit)
			return sup_error(e, "busy", "volume %s is in use: it has one writer, or any number of readers (readonly = true)", w->name);
		if (!locked && sup_host_sleep(w->h, 0.01) < 0)
			return sup_error(e, "closed", "the host has gone");
	}
}

/* The mount of one that has a size: it is the size that was asked for, if any was. */
static int mount_volume(struct sup_volume *v, const struct want *w, struct sup_error *e)
{
	struct stat st;

	if (fstat(v->fd, &st) < 0)
		return sup_error(e, "system", "volume %s: %s", w->name, strerror(errno));
	if (w->size && !S_ISREG(st.st_mode))
		return sup_error(e, "bad_rootfs", "volume %s was made without a size: leave it out, or remove the volume first", w->name);
	if (!S_ISREG(st.st_mode))
		return 0;
	if (w->size && w->size != (uint64_t)st.st_size)
		return sup_error(e, "bad_rootfs", "volume %s was made with a size of %llu bytes, not %llu: leave it out, or remove the volume first", w->name,
				 (unsigned long long)st.st_size, (unsigned long long)w->size);
	if (w->r->rootless)
		return sup_error(e, "not_supported", "volume %s has a size, and only root can mount it", w->name);
	v->mount = sup_disk_mount(v->fd, w->name, w->readonly, e);
	return v->mount < 0 ? -1 : 0;
}

/* An item: "ro SIZE DIR/NAME" or "rw SIZE DIR/NAME". */
static int hold_one(struct sup_volume *v, const char *item, struct want *w, struct sup_error *e)
{
	char path[4096], *end;
	int dir;

	w->readonly = item[1] == 'o';
	w->size = strtoull(item + 3, &end, 10);
	v->path = end + 1;
	(void)snprintf(path, sizeof(path), "%s", v->path);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	w->name = slash + 1;
	dir = open_dir(path, e);
	if (dir < 0)
		return -1;
	v->fd = lock(dir, w, e);
	(void)close(dir);
	return v->fd < 0 ? -1 : mount_volume(v, w, e);
}

int sup_volume_hold(struct sup_volumes *v, const struct sup_request *r, const struct sup_host *h, struct sup_error *e)
{
	struct want w = { .r = r, .h = h };

	v->item = r->volumes.n ? calloc(r->volumes.n, sizeof(*v->item)) : NULL;
	if (r->volumes.n && !v->item)
		return sup_error(e, "system", "no memory");
	while (v->n < r->volumes.n) {
		struct sup_volume *one = &v->item[v->n];

		one->fd = one->mount = -1;
		if (hold_one(one, r->volumes.item[v->n++], &w, e) < 0)
			return -1;
	}
	return 0;
}

int sup_volume_place(const struct sup_volumes *v, const struct sup_dir *d)
{
	char name[32];
	int rc = 0;

	for (size_t i = 0; i < v->n && rc == 0; i++) {
		if (v->item[i].mount < 0)
			continue;
		(void)snprintf(name, sizeof(name), "m/v/%zu", i);
		rc = (mkdirat(d->fd, "m/v", 0711) < 0 && errno != EEXIST) || mkdirat(d->fd, name, 0711) < 0 ? -1 : 0;
		int target = rc < 0 ? -1 : openat(d->fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		rc = target < 0 ? -1 : sup_bind_move(v->item[i].mount, target);
		int saved = errno;

		if (target >= 0)
			(void)close(target);
		errno = saved;
	}
	return rc;
}

int sup_volume_mount(const struct sup_volumes *v, const char *path)
{
	for (size_t i = 0; i < v->n; i++)
		if (v->item[i].mount >= 0 && !strcmp(v->item[i].path, path))
			return v->item[i].mount;
	return -1;
}

void sup_volume_release(struct sup_volumes *v)
{
	while (v->n) {
		const struct sup_volume *one = &v->item[--v->n];

		if (one->mount >= 0)
			(void)close(one->mount);
		if (one->fd >= 0)
			(void)close(one->fd);
	}
	free(v->item);
	v->item = NULL;
}
