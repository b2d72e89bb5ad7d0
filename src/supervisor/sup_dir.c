/* SPDX-License-Identifier: MIT */
#include "sup_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sbx_io.h"

#define NEW_PREFIX ".new-"
#define RUN_PREFIX "run-"
#define LOCK "lock"
/* A supervisor locks what it makes, and not in the same moment: a new one that is younger is left alone, locked or not. */
#define NEW_AGE 60

static void remove_tree(int parent, const char *name, dev_t dev, int depth);

/* All but KEEP, which may be NULL. Takes fd. */
static void remove_entries(int fd, dev_t dev, int depth, const char *keep)
{
	DIR *dir = fdopendir(fd);

	if (!dir) {
		close(fd);
		return;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 && !(keep && !strcmp(d->d_name, keep)))
			remove_tree(dirfd(dir), d->d_name, dev, depth + 1);
	closedir(dir);
}

static int open_dir(int parent, const char *name)
{
	return openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void remove_tree(int parent, const char *name, dev_t dev, int depth)
{
	struct stat st;

	if (unlinkat(parent, name, 0) == 0 || depth > 64)
		return;
	int fd = open_dir(parent, name);

	if (fd < 0)
		return;
	if (fstat(fd, &st) == 0 && st.st_dev == dev)
		remove_entries(fd, dev, depth, NULL);
	else
		close(fd);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

/* 0: unknown, and then nothing below is entered. */
static dev_t device_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) < 0 ? 0 : st.st_dev;
}

/* By working directory: no link on the way is followed. */
static void unmount(int dir, const char *name)
{
	if (dir >= 0 && fchdir(dir) == 0) {
		(void)umount2(name, MNT_DETACH | UMOUNT_NOFOLLOW);
		(void)!chdir("/");
	}
}

/* Mounts of ours are private to a namespace; these are no-ops where that is gone. Current runsc leaves the latter. */
static void remove_mounts(int fd)
{
	int r = open_dir(fd, "r");

	unmount(fd, "m");
	unmount(r, "null-netns");
	if (r >= 0)
		(void)close(r);
}

void sup_dir_close(struct sup_dir *d)
{
	if (d->fd >= 0)
		(void)close(d->fd);
	if (d->lock >= 0)
		(void)close(d->lock);
	*d = SUP_DIR_NONE;
}

/* The lock goes last: if we are killed on the way, who sweeps finds the rest by it. */
void sup_dir_remove(struct sup_dir *d)
{
	if (d->fd >= 0) {
		remove_mounts(d->fd);
		int fd = open_dir(d->fd, ".");

		if (fd >= 0)
			remove_entries(fd, device_of(fd), 0, LOCK);
		(void)unlinkat(d->fd, LOCK, 0);
		(void)rmdir(d->path);
	}
	sup_dir_close(d);
}

const char *sup_dir_at(const struct sup_dir *d, const char *name, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/%s", d->path, name);
	return out;
}

static int make_locked(struct sup_dir *d, mode_t mode)
{
	if (mkdir(d->path, 0700) < 0)
		return -1;
	if ((d->fd = open_dir(AT_FDCWD, d->path)) < 0) {	/* nobody will find it by this name but us */
		int saved = errno;

		(void)rmdir(d->path);
		errno = saved;
		return -1;
	}
	d->lock = openat(d->fd, LOCK, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock < 0 || flock(d->lock, LOCK_EX | LOCK_NB) < 0)
		return -1;
	return fchmod(d->fd, mode);
}

int sup_dir_make(struct sup_dir *d, const struct sup_request *r, struct sup_error *e)
{
	static const struct { const char *name; mode_t mode; } subs[] = { { "b", 0700 }, { "r", 0700 }, { "m", 0711 } };
	char path[256];
	int n = snprintf(path, sizeof(path), "%s/" RUN_PREFIX "%s", r->state_dir, r->id), rc = 0;

	*d = SUP_DIR_NONE;
	/* sun_path: the trace's socket lies in here. */
	if (n < 0 || (size_t)n + sizeof("/trace.sock") > 108)
		return sup_error(e, "system", "state_dir %s is too long: %d bytes are left for it", r->state_dir,
				 108 - 12 - 5 - (int)strlen(r->id));
	(void)snprintf(d->path, sizeof(d->path), "%s/" NEW_PREFIX "%s", r->state_dir, r->id);
	if (make_locked(d, geteuid() == 0 ? 0711 : 0700) < 0)
		rc = sup_error(e, "system", "cannot make a directory in state_dir %s: %s", r->state_dir, strerror(errno));
	for (unsigned i = 0; rc == 0 && i < sizeof(subs) / sizeof(subs[0]); i++)
		if (mkdirat(d->fd, subs[i].name, subs[i].mode) < 0 || fchmodat(d->fd, subs[i].name, subs[i].mode, 0) < 0)
			rc = sup_error(e, "system", "cannot make %s/%s: %s", d->path, subs[i].name, strerror(errno));
	if (rc == 0 && rename(d->path, path) < 0)
		rc = sup_error(e, "system", "cannot make %s: %s", path, strerror(errno));
	if (rc < 0)
		sup_dir_remove(d);
	else
		memcpy(d->path, path, sizeof(path));
	return rc;
}

static bool same_file(int a, int b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int sup_dir_reopen(struct sup_dir *d)
{
	int fd = open_dir(AT_FDCWD, d->path);

	if (fd < 0 || !same_file(fd, d->fd)) {
		if (fd >= 0)
			(void)close(fd);
		return -1;
	}
	(void)close(d->fd);
	d->fd = fd;
	return 0;
}

int sup_dir_open(struct sup_dir *d, const char *path)
{
	*d = SUP_DIR_NONE;
	if (snprintf(d->path, sizeof(d->path), "%s", path) >= (int)sizeof(d->path))
		return -1;
	d->fd = open_dir(AT_FDCWD, path);
	return d->fd < 0 ? -1 : 0;
}

static int open_lock(const struct sup_dir *d)
{
	return openat(d->fd, LOCK, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

bool sup_dir_held(const struct sup_dir *d)
{
	int fd = open_lock(d);
	bool held = fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) < 0;

	if (fd >= 0)
		(void)close(fd);
	return held;
}

void sup_dir_relict(const char *path)
{
	const char *name = strrchr(path, '/');
	int fd = name && !strncmp(name + 1, RUN_PREFIX, strlen(RUN_PREFIX)) ? open_dir(AT_FDCWD, path) : -1;

	if (fd < 0)
		return;
	/* runsc makes the directory of its state anew, with all above it; whatever else is there is not its, nor ours. */
	if (faccessat(fd, LOCK, F_OK, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT) {
		remove_tree(fd, "r", device_of(fd), 0);
		(void)rmdir(path);
	}
	(void)close(fd);
}

int sup_dir_write(const struct sup_dir *d, const char *name, const void *bytes, size_t n)
{
	return sbx_io_write_at(d->fd, name, O_CREAT | O_EXCL, bytes, n);
}

size_t sup_dir_read(const struct sup_dir *d, const char *name, char *out, size_t size)
{
	ssize_t n = sbx_io_read_at(d->fd, name, out, size);

	return n < 0 ? 0 : (size_t)n;
}

/* Locks what nobody living holds. A file that has lost its name meanwhile was let go by an owner that cleaned up. */
static int lock_dead(const struct sup_dir *d)
{
	struct stat st;
	int fd = open_lock(d);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

int sup_dir_adopt(struct sup_dir *d, const char *state_dir, const char *name)
{
	bool fresh = !strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX));
	char path[256];
	struct stat st;

	*d = SUP_DIR_NONE;
	if ((!fresh && strncmp(name, RUN_PREFIX, strlen(RUN_PREFIX)) != 0) ||
	    snprintf(path, sizeof(path), "%s/%s", state_dir, name) >= (int)sizeof(path) || sup_dir_open(d, path) < 0)
		return -1;
	if (fstat(d->fd, &st) == 0 && st.st_uid == geteuid() && !(fresh && time(NULL) - st.st_mtime < NEW_AGE)) {
		d->lock = lock_dead(d);
		if (d->lock < 0)	/* an empty one is where its owner was killed: before the lock was made, or after it was removed */
			(void)rmdir(d->path);
	}
	if (d->lock >= 0)
		return 0;
	sup_dir_close(d);
	return -1;
}
