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

#include "sup_cgroup.h"

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

static void remove_tree(int parent, const char *name, dev_t dev, int depth)
{
	struct stat st;

	if (unlinkat(parent, name, 0) == 0 || depth > 64)
		return;
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

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

/* The lock goes last: if we are killed on the way, who sweeps finds the rest by it. */
static void remove_locked(const char *path)
{
	char file[320];
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dev_t dev = fd < 0 ? 0 : device_of(fd);

	if (fd < 0)
		return;
	remove_entries(fd, dev, 0, LOCK);
	(void)snprintf(file, sizeof(file), "%s/" LOCK, path);
	(void)unlink(file);
	(void)rmdir(path);
}

static void remove_run(const char *path)
{
	char mount[320];

	/* Mounts of ours are private to a namespace; these are no-ops where that is gone. Current runsc leaves the latter. */
	(void)snprintf(mount, sizeof(mount), "%s/m", path);
	(void)umount2(mount, MNT_DETACH);
	(void)snprintf(mount, sizeof(mount), "%s/r/null-netns", path);
	(void)umount2(mount, MNT_DETACH);
	remove_locked(path);
}

const char *sup_dir_at(const struct sup_dir *d, const char *name, char *out, size_t size)
{
	(void)snprintf(out, size, "%s/%s", d->path, name);
	return out;
}

static int make_locked(struct sup_dir *d, const char *path, mode_t mode)
{
	char file[320];

	if (mkdir(path, 0700) < 0)
		return -1;
	(void)snprintf(file, sizeof(file), "%s/" LOCK, path);
	d->lock = open(file, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock < 0 || flock(d->lock, LOCK_EX | LOCK_NB) < 0)
		return -1;
	return chmod(path, mode);
}

int sup_dir_make(struct sup_dir *d, const struct sup_request *r, struct sup_error *e)
{
	char fresh[256], path[256], sub[320];
	static const char *const subs[] = { "b", "r", "m" };

	d->lock = -1;
	d->path[0] = '\0';
	int n = snprintf(path, sizeof(path), "%s/" RUN_PREFIX "%s", r->state_dir, r->id);

	/* sun_path: the trace's socket lies in here. */
	if (n < 0 || (size_t)n + sizeof("/trace.sock") > 108)
		return sup_error(e, "system", "state_dir %s is too long: %d bytes are left for it", r->state_dir,
				 108 - 12 - 5 - (int)strlen(r->id));
	(void)snprintf(fresh, sizeof(fresh), "%s/" NEW_PREFIX "%s", r->state_dir, r->id);
	if (make_locked(d, fresh, geteuid() == 0 ? 0711 : 0700) < 0) {
		int saved = errno;

		remove_run(fresh);
		return sup_error(e, "system", "cannot make a directory in state_dir %s: %s", r->state_dir,
				 strerror(saved));
	}
	for (unsigned i = 0; i < 3; i++) {
		(void)snprintf(sub, sizeof(sub), "%s/%s", fresh, subs[i]);
		if (mkdir(sub, i < 2 ? 0700 : 0711) < 0 || chmod(sub, i < 2 ? 0700 : 0711) < 0) {
			remove_run(fresh);
			return sup_error(e, "system", "cannot make %s", sub);
		}
	}
	if (rename(fresh, path) < 0) {
		remove_run(fresh);
		return sup_error(e, "system", "cannot make %s: %s", path, strerror(errno));
	}
	memcpy(d->path, path, sizeof(path));
	return 0;
}

void sup_dir_remove(struct sup_dir *d)
{
	if (d->path[0])
		remove_run(d->path);
	d->path[0] = '\0';
	if (d->lock >= 0)
		close(d->lock);
	d->lock = -1;
}

void sup_dir_relict(const char *path)
{
	char file[320];

	(void)snprintf(file, sizeof(file), "%s/" LOCK, path);
	if (access(file, F_OK) < 0 && errno == ENOENT)
		remove_locked(path);
}

int sup_dir_write(const struct sup_dir *d, const char *name, const void *bytes, size_t n)
{
	char path[320];
	int fd = open(sup_dir_at(d, name, path, sizeof(path)), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);

	if (fd < 0)
		return -1;
	while (n) {
		ssize_t w = write(fd, bytes, n);

		if (w <= 0)
			break;
		bytes = (const char *)bytes + w;
		n -= (size_t)w;
	}
	close(fd);
	return n ? -1 : 0;
}

size_t sup_dir_read(const struct sup_dir *d, const char *name, char *out, size_t size)
{
	char path[320];
	size_t got = 0;
	int fd = open(sup_dir_at(d, name, path, sizeof(path)), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	while (fd >= 0 && got < size - 1) {
		ssize_t n = read(fd, out + got, size - 1 - got);

		if (n <= 0)
			break;
		got += (size_t)n;
	}
	if (fd >= 0)
		close(fd);
	out[got] = '\0';
	return got;
}

/* Locks what nobody living holds. A file that has lost its name meanwhile was let go by an owner that cleaned up. */
static int lock_dead(const struct sup_dir *d)
{
	struct stat st;
	char file[320];
	int fd = open(sup_dir_at(d, LOCK, file, sizeof(file)), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0)
		return fd;
	if (fd >= 0)
		(void)close(fd);
	return -1;
}

/* 1: the directory had a dead owner and is gone. */
static int sweep_one(const char *state_dir, const char *name, bool fresh)
{
	struct sup_dir d = { .lock = -1 };
	struct stat st;

	if (snprintf(d.path, sizeof(d.path), "%s/%s", state_dir, name) >= (int)sizeof(d.path))
		return 0;
	if (lstat(d.path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid())
		return 0;
	if (fresh && time(NULL) - st.st_mtime < NEW_AGE)
		return 0;
	d.lock = lock_dead(&d);
	if (d.lock < 0) {	/* an empty one is where its owner was killed: before the lock was made, or after it was removed */
		(void)rmdir(d.path);
		return 0;
	}
	sup_cgroup_sweep(&d);
	sup_dir_remove(&d);
	return 1;
}

int sup_dir_sweep(const char *state_dir, struct sup_error *e)
{
	DIR *dir = opendir(state_dir);
	int removed = 0;

	if (!dir && errno == ENOENT)
		return 0;
	if (!dir)
		return sup_error(e, "system", "cannot read state_dir %s: %s", state_dir, strerror(errno));
	for (struct dirent *d; (d = readdir(dir));) {
		bool fresh = !strncmp(d->d_name, NEW_PREFIX, strlen(NEW_PREFIX));

		if (fresh || !strncmp(d->d_name, RUN_PREFIX, strlen(RUN_PREFIX)))
			removed += sweep_one(state_dir, d->d_name, fresh);
	}
	closedir(dir);
	return removed;
}
