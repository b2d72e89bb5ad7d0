/* SPDX-License-Identifier: MIT */
#include "sup_path.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_io.h"

static int resolve(int dir, const char *path, int flags, mode_t mode, uint64_t how_far)
{
	struct open_how how = { .flags = (uint64_t)(flags | O_CLOEXEC), .mode = mode, .resolve = how_far | RESOLVE_NO_MAGICLINKS };
	int fd;

	/* EAGAIN: a rename somewhere raced with the resolution (openat2(2)). */
	do
		fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
	while (fd < 0 && (errno == EAGAIN || errno == EINTR));
	return fd;
}

int sup_path_open(int root, const char *path, int flags, mode_t mode)
{
	while (*path == '/')
		path++;
	return resolve(root, *path ? path : ".", flags, mode, RESOLVE_IN_ROOT);
}

int sup_path_beneath(int dir, const char *path)
{
	return resolve(dir, path, O_PATH, 0, RESOLVE_BENEATH);
}

/* Splits "a/b/c" into an open "a/b" and "c". */
static int open_parent(int root, const char *path, char *parent, size_t size, const char **name)
{
	const char *slash = strrchr(path, '/');

	*name = slash ? slash + 1 : path;
	parent[0] = '\0';
	if (!**name || strlen(path) >= size) {
		errno = EINVAL;
		return -1;
	}
	(void)snprintf(parent, size, "%.*s", slash ? (int)(slash - path) : 0, path);
	return sup_path_open(root, parent, O_PATH | O_DIRECTORY, 0);
}

/* Each takes some of our stack, and whoever names a file may be anybody. */
#define DEPTH_MAX 256

static bool is_deep(const char *path)
{
	unsigned n = 0;

	for (; *path; path++)
		n += *path == '/';
	return n > DEPTH_MAX;
}

int sup_path_mkdir(int root, const char *path, mode_t mode, uid_t uid, gid_t gid)
{
	char parent[4096];
	const char *name;
	int fd = sup_path_open(root, path, O_PATH | O_DIRECTORY, 0);

	if (fd >= 0) {
		close(fd);
		return 0;
	}
	if (errno != ENOENT)
		return -1;
	if (is_deep(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = open_parent(root, path, parent, sizeof(parent), &name);
	if (fd < 0 && errno == ENOENT && *parent) {
		if (sup_path_mkdir(root, parent, mode, uid, gid) < 0)
			return -1;
		fd = open_parent(root, path, parent, sizeof(parent), &name);
	}
	if (fd < 0)
		return -1;
	int rc = mkdirat(fd, name, mode);
	int made = rc < 0 ? -1 : openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (rc == 0 && (made < 0 || fchmod(made, mode) < 0 || (uid != (uid_t)-1 && fchown(made, uid, gid) < 0)))
		rc = -1;
	int saved = errno;

	if (made >= 0)
		close(made);
	close(fd);
	errno = saved;
	return rc;
}

int sup_path_file(int root, const char *path)
{
	char parent[4096];
	const char *slash = strrchr(path, '/');
	int fd = sup_path_open(root, path, O_PATH, 0);

	if (fd < 0 && errno == ENOENT) {
		(void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 0, path);
		if (*parent && sup_path_mkdir(root, parent, 0755, (uid_t)-1, (gid_t)-1) < 0)
			return -1;
		fd = sup_path_open(root, path, O_CREAT | O_WRONLY, 0644);
		if (fd >= 0)
			(void)fchmod(fd, 0644);	/* our umask is for what is ours */
	}
	if (fd < 0)
		return -1;
	close(fd);
	return 0;
}

int sup_path_copy(int root, const char *path)
{
	int in = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	int out = in < 0 || sup_path_file(root, path) < 0 ? -1 : sup_path_open(root, path, O_WRONLY | O_TRUNC, 0);
	int rc = out < 0 ? -1 : sbx_io_copy(in, out);

	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return rc;
}
