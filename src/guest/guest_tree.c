/* SPDX-License-Identifier: MIT */
#include "guest_tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest_io.h"
#include "guest_open.h"

/* As many as a path that is given may have, and some. */
#define LEVELS 128

static bool late(double until)
{
	static unsigned n;

	if (++n % 16 != 0 || guest_io_now() <= until)
		return false;
	errno = ETIMEDOUT;
	return true;
}

void guest_tree_parents(const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = *path ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0777) == 0)
			(void)chmod(part, 0777);
	}
}

/* --- remove --------------------------------------------------------------------------------------------------------------- */

/* What is too deep for descriptors comes up to the top, and has its turn there. */
static int move_up(int dir, const char *name, int top)
{
	static unsigned long long moved;
	char fresh[40];
	int rc;

	do
		(void)snprintf(fresh, sizeof(fresh), ".removed-%d-%llu", (int)getpid(), moved++);
	while ((rc = renameat(dir, name, top, fresh)) < 0 && (errno == EEXIST || errno == ENOTEMPTY));
	return rc;
}

static int remove_at(int dir, const char *name, int top, unsigned depth, double until);

/* What is in an open directory. */
static int empty(DIR *d, int top, unsigned depth, double until)
{
	for (struct dirent *e; (e = readdir(d));)
		if (!guest_open_is_dots(e->d_name) && remove_at(dirfd(d), e->d_name, top < 0 ? dirfd(d) : top, depth + 1, until) < 0)
			return -1;
	return 0;
}

static int remove_at(int dir, const char *name, int top, unsigned depth, double until)
{
	if (late(until))
		return -1;
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return errno == ENOENT && depth ? 0 : -1;
	for (;;) {
		if (unlinkat(dir, name, AT_REMOVEDIR) == 0)
			return 0;
		if (errno != ENOTEMPTY && errno != EEXIST)
			return errno == ENOENT && depth ? 0 : -1;
		if (depth >= LEVELS)
			return move_up(dir, name, top);
		DIR *d = guest_open_entries(dir, name);
		int rc = d ? empty(d, top, depth, until) : -1, saved = errno;

		if (d)
			(void)closedir(d);
		errno = saved;
		if (rc < 0 || late(until))
			return -1;
	}
}

int guest_tree_remove(const char *path, double until)
{
	return remove_at(AT_FDCWD, path, -1, 0, until);
}

/* --- copy ----------------------------------------------------------------------------------------------------------------- */

static int copy_file(int from, const char *name, int to, const char *target, const struct stat *seen, double until)
{
	static char buf[65536];
	struct stat st = *seen;
	const char *why;
	int in = guest_open_file(from, name, ~0ull, &st, &why);
	int out = in < 0 ? -1 : openat(to, target, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	int rc = out < 0 ? -1 : 0;

	for (off_t left = st.st_size; rc == 0 && left > 0;) {
		ssize_t n = read(in, buf, left < (off_t)sizeof(buf) ? (size_t)left : sizeof(buf));

		if (n <= 0)
			break;
		for (ssize_t at = 0; at < n && rc == 0;) {
			ssize_t w = write(out, buf + at, (size_t)(n - at));

			rc = w <= 0 || late(until) ? -1 : 0;
			at += w;
		}
		left -= n;
	}
	int saved = errno;

	if (in >= 0)
		(void)close(in);
	if (out >= 0 && fchmod(out, st.st_mode & 0777) == 0 && close(out) < 0 && rc == 0) {
		rc = -1;
		saved = errno;
	}
	errno = saved;
	return rc;
}

static int copy_at(int from, const char *name, int to, const char *target, unsigned depth, double until);

static int copy_directory(int from, const char *name, int to, const char *target, unsigned depth, double until)
{
	DIR *d = depth < LEVELS ? guest_open_entries(from, name) : NULL;
	int rc = -1, out = -1, saved;

	if (depth >= LEVELS)
		errno = ENAMETOOLONG;
	if (d && (mkdirat(to, target, 0777) == 0 || errno == EEXIST))
		out = guest_open_directory(to, target);
	if (out >= 0)
		rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(d));)
		if (!guest_open_is_dots(e->d_name))
			rc = late(until) ? -1 : copy_at(dirfd(d), e->d_name, out, e->d_name, depth + 1, until);
	saved = errno;
	if (d)
		(void)closedir(d);
	if (out >= 0)
		(void)close(out);
	errno = saved;
	return rc;
}

static int copy_at(int from, const char *name, int to, const char *target, unsigned depth, double until)
{
	char link[PATH_MAX];
	struct stat st;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return depth ? 0 : -1;	/* gone meanwhile */
	if (S_ISREG(st.st_mode))
		return copy_file(from, name, to, target, &st, until);
	if (S_ISDIR(st.st_mode))
		return copy_directory(from, name, to, target, depth, until);
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(from, name, link, sizeof(link) - 1);

		link[n > 0 ? n : 0] = '\0';
		(void)unlinkat(to, target, 0);
		return n > 0 ? symlinkat(link, to, target) : -1;
	}
	errno = EINVAL;
	return depth ? 0 : -1;
}

int guest_tree_copy(const char *from, const char *to, double until)
{
	char source[PATH_MAX], parent[PATH_MAX], target[PATH_MAX];
	const char *slash = strrchr(to, '/');

	guest_tree_parents(to);
	(void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - to) + 1 : 1, slash ? to : ".");
	/* A directory into itself would never end, and a file onto itself would be empty. */
	if (realpath(from, source) && realpath(parent, target)) {
		size_t n = strlen(source), room = sizeof(target) - strlen(target);

		if ((size_t)snprintf(target + strlen(target), room, "/%s", slash ? slash + 1 : to) < room && !strncmp(source, target, n) &&
		    (target[n] == '/' || target[n] == '\0')) {
			errno = EINVAL;
			return -1;
		}
	}
	return copy_at(AT_FDCWD, from, AT_FDCWD, to, 0, until);
}

/* --- list ----------------------------------------------------------------------------------------------------------------- */

/* How many entries there are, or `most`: known before each of them is looked at, which takes much longer. */
static unsigned long long count_entries(DIR *d, unsigned long long most, double until)
{
	unsigned long long n = 0;

	for (struct dirent *e; n < most && !late(until) && (e = readdir(d));)
		n += !guest_open_is_dots(e->d_name);
	rewinddir(d);
	return n;
}

/* Seconds after which it is said that the time will not do, where what is left would take twice as much. */
#define HOPE_SECONDS 2.0

static bool hopeless(double began, double until, unsigned long long done, unsigned long long of)
{
	double now = done % 16 ? began : guest_io_now();

	if (now - began < HOPE_SECONDS || (now - began) * (double)of < 2 * (until - began) * (double)done)
		return false;
	errno = ETIMEDOUT;
	return true;
}

static int list_at(int dir, const char *entry, char *path, size_t length, unsigned depth, unsigned long long *left, double until)
{
	DIR *d = guest_open_entries(dir, entry);
	char target[PATH_MAX];
	struct stat st;
	int rc = d ? 0 : -1;
	unsigned long long done = 0, of = d ? count_entries(d, *left + 1, until) : 0;
	double began = guest_io_now();

	if (of > *left) {
		errno = E2BIG;
		rc = -1;
	}
	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		size_t n = strlen(e->d_name);

		if (guest_open_is_dots(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		errno = E2BIG;
		if (!*left || length + n + 2 > PATH_MAX || late(until) ||
		    (depth == 1 && hopeless(began, until, ++done, of))) {	/* below others nobody knows how many there are */
			rc = -1;
			break;
		}
		(*left)--;
		memcpy(path + length, e->d_name, n + 1);
		ssize_t t = S_ISLNK(st.st_mode) ? readlinkat(dirfd(d), e->d_name, target, sizeof(target) - 1) : 0;

		target[t > 0 ? t : 0] = '\0';
		guest_io_entry(path, &st, target);
		if (S_ISDIR(st.st_mode) && depth > 1) {
			memcpy(path + length + n, "/", 2);
			rc = list_at(dirfd(d), e->d_name, path, length + n + 1, depth - 1, left, until);
			if (rc < 0 && (errno == EACCES || errno == ENOENT || errno == ENOTDIR))
				rc = 0;	/* its entry has been told */
		}
	}
	int saved = errno;

	if (d)
		(void)closedir(d);
	errno = saved;
	return rc;
}

int guest_tree_list(const char *name, unsigned depth, unsigned long long max, double until)
{
	char path[PATH_MAX] = "";

	return list_at(AT_FDCWD, name, path, 0, depth < LEVELS ? depth : LEVELS, &max, until);
}
