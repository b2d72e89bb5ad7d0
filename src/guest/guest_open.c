/* SPDX-License-Identifier: MIT */
#include "guest_open.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "guest_io.h"

static bool same(int fd, const struct stat *seen, struct stat *now)
{
	return fstat(fd, now) == 0 && now->st_ino == seen->st_ino && now->st_dev == seen->st_dev &&
	       (now->st_mode & S_IFMT) == (seen->st_mode & S_IFMT);
}

const char *guest_open_why(int error)
{
	return error == ENOENT || error == ENOTDIR ? "missing" : strerror(error);
}

bool guest_open_is_dots(const char *name)
{
	return !strcmp(name, ".") || !strcmp(name, "..");
}

int guest_open_directory(int dir, const char *name)
{
	struct stat seen, now;

	if (fstatat(dir, name, &seen, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	int fd = S_ISDIR(seen.st_mode) ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (!S_ISDIR(seen.st_mode) || (fd >= 0 && !same(fd, &seen, &now))) {
		if (fd >= 0)
			(void)close(fd);
		errno = ENOTDIR;
		return -1;
	}
	return fd;
}

DIR *guest_open_entries(int dir, const char *name)
{
	int fd = guest_open_directory(dir, name);
	DIR *entries = fd < 0 ? NULL : fdopendir(fd);

	if (!entries && fd >= 0)
		(void)close(fd);
	return entries;
}

int guest_open_file(int dir, const char *name, unsigned long long most, struct stat *st, const char **why)
{
	struct stat seen;
	int fd = -1;

	*why = NULL;
	if (fstatat(dir, name, &seen, AT_SYMLINK_NOFOLLOW) < 0)
		*why = guest_open_why(errno);
	else if (!S_ISREG(seen.st_mode))
		*why = guest_io_kind(seen.st_mode);
	else if ((unsigned long long)seen.st_size > most)
		*why = "too big";
	else if ((fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) < 0)
		*why = strerror(errno);
	else if (!same(fd, &seen, st))	/* it may be another by now */
		*why = "changed";
	else if ((unsigned long long)st->st_size > most)
		*why = "too big";
	if (*why && fd >= 0)
		(void)close(fd);
	return *why ? -1 : fd;
}
