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

/* One of them as it is now, open. */
static int open_volume(int dir, const char *name)
{
	bool made = mkdirat(dir, name, 0700) == 0;
	int fd = made || errno == EEXIST ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (fd >= 0 && made)
		(void)fchmod(fd, 0777);	/* whichever user a guest has */
	return fd;
}

/* It may be taken away between its look-up and its lock. */
static bool stands(int dir, const char *name, int fd)
{
	struct stat mine, there;

	return fstat(fd, &mine) == 0 && fstatat(dir, name, &there, AT_SYMLINK_NOFOLLOW) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev;
}

static int lock(int dir, const char *name, int how, const struct sup_host *h, struct sup_error *e)
{
	double limit = sbx_time_now() + SBX_VOLUME_SECONDS;

	for (;;) {
		int fd = open_volume(dir, name);

		if (fd < 0)
			return sup_error(e, "not_supported", "volume %s: %s", name, strerror(errno));
		bool locked = flock(fd, how | LOCK_NB) == 0;

		if (locked && stands(dir, name, fd)) {
			(void)futimens(fd, NULL);
			return fd;
		}
		(void)close(fd);
		if (!locked && sbx_time_now() > limit)
			return sup_error(e, "busy", "volume %s is in use: it has one writer, or any number of readers (readonly = true)", name);
		if (!locked && sup_host_sleep(h, 0.01) < 0)
			return sup_error(e, "closed", "the host has gone");
	}
}

/* An item: "ro DIR/NAME" or "rw DIR/NAME". */
static int hold_one(const char *item, const struct sup_host *h, struct sup_error *e)
{
	char path[4096];
	int dir, fd;

	(void)snprintf(path, sizeof(path), "%s", item + 3);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	dir = open_dir(path, e);
	if (dir < 0)
		return -1;
	fd = lock(dir, slash + 1, item[1] == 'o' ? LOCK_SH : LOCK_EX, h, e);
	(void)close(dir);
	return fd;
}

int sup_volume_hold(struct sup_volumes *v, const struct sup_request *r, const struct sup_host *h, struct sup_error *e)
{
	v->fd = r->volumes.n ? calloc(r->volumes.n, sizeof(*v->fd)) : NULL;
	if (r->volumes.n && !v->fd)
		return sup_error(e, "system", "no memory");
	for (; v->n < r->volumes.n; v->n++) {
		v->fd[v->n] = hold_one(r->volumes.item[v->n], h, e);
		if (v->fd[v->n] < 0)
			return -1;
	}
	return 0;
}

void sup_volume_release(struct sup_volumes *v)
{
	while (v->n)
		(void)close(v->fd[--v->n]);
	free(v->fd);
	v->fd = NULL;
}
