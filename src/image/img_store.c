/* SPDX-License-Identifier: MIT */
#include "img_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img_say.h"
#include "img_tree.h"
#include "sbx_io.h"

/* All directories of a path, ours from the first that is missing on. */
static int make_path(const char *path)
{
	char part[4096];

	for (size_t n = 1; path[n - 1]; n++)
		if (path[n] == '/' || path[n] == '\0') {
			(void)snprintf(part, sizeof(part), "%.*s", (int)n, path);
			if (mkdir(part, 0700) < 0 && errno != EEXIST)
				return -1;
		}
	return 0;
}

int img_store_enter(const char *path)
{
	static const char *const dirs[] = { "images", "refs", "locks", "tmp" };
	struct stat st;

	int fd = path[0] == '/' && make_path(path) == 0 ? open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;
	int rc = fd < 0 || fchdir(fd) < 0 || fstat(fd, &st) < 0 ? -1 : 0, saved = errno;

	if (fd >= 0)
		(void)close(fd);
	if (rc < 0)
		return img_fail("system", "image_dir %s cannot be used: %s", path, strerror(saved));
	if (st.st_uid != geteuid())
		return img_fail("system", "image_dir %s is refused: it belongs to uid %u", path, (unsigned)st.st_uid);
	/* There are files of every owner and mode in it, set-user-ID ones, too. */
	if (st.st_mode & 077)
		return img_fail("system", "image_dir %s is refused: others may enter it (chmod 700 %s)", path, path);
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++)
		if (mkdir(dirs[i], 0700) < 0 && errno != EEXIST)
			return img_fail("system", "image_dir %s cannot be used: %s", path, strerror(errno));
	return 0;
}

bool img_store_name(const char *name)
{
	size_t n = strspn(name, "0123456789abcdefghijklmnopqrstuvwxyz-");

	return n >= 1 && n < IMG_KEY_MAX && !name[n];
}

bool img_store_hex(const char *hex)
{
	return strspn(hex, "0123456789abcdef") == 64 && !hex[64];
}

/* Whether the path still stands for what is open: who waited for a lock may have got that of what is gone. */
static bool stands(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int img_store_lock(const char *name)
{
	char path[IMG_KEY_MAX + 8];

	(void)snprintf(path, sizeof(path), "locks/%s", name);
	for (;;) {
		int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

		if (fd < 0)
			return img_fail("system", "cannot make %s: %s", path, strerror(errno));
		if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
			img_progress("wait", 0);
			while (flock(fd, LOCK_EX) < 0 && errno == EINTR)
				;
		}
		if (stands(fd, path))
			return fd;
		(void)close(fd);
	}
}

/* What nobody holds was left by somebody who was killed. */
static void sweep(void)
{
	DIR *d = opendir("tmp");

	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		char path[300];

		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof(path), "tmp/%s", e->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
			(void)img_tree_remove(path);
		if (fd >= 0)
			(void)close(fd);
	}
	if (d)
		(void)closedir(d);
}

static void random_path(char path[40])
{
	unsigned char bytes[12];
	int n = snprintf(path, 40, "tmp/");

	if (getrandom(bytes, sizeof(bytes), 0) < 0)
		(void)snprintf((char *)bytes, sizeof(bytes), "%d", (int)getpid());
	for (size_t i = 0; i < sizeof(bytes); i++)
		n += snprintf(path + n, 40 - (size_t)n, "%02x", bytes[i]);
}

int img_store_temporary(char path[40])
{
	sweep();
	for (;;) {
		random_path(path);
		if (mkdir(path, 0700) < 0)
			return img_fail("system", "cannot make %s: %s", path, strerror(errno));
		int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

		if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && stands(fd, path))
			return fd;
		if (fd >= 0)	/* a sweep was faster */
			(void)close(fd);
	}
}

bool img_store_has(const char *key)
{
	char path[IMG_KEY_MAX + 32];
	struct stat st;

	(void)snprintf(path, sizeof(path), "images/%s", key);
	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

int img_store_write(const char *temporary, const char *path, const char *text)
{
	char fresh[64];

	(void)snprintf(fresh, sizeof(fresh), "%.40s/fresh", temporary);
	int rc = sbx_io_write_at(AT_FDCWD, fresh, O_WRONLY | O_CREAT | O_EXCL, text, strlen(text));

	if (rc == 0)
		rc = rename(fresh, path);
	if (rc == 0)
		return 0;
	int saved = errno;

	(void)unlink(fresh);
	return img_fail("system", "cannot write %s: %s", path, strerror(saved));
}

int img_store_drop(const char *key)
{
	char from[IMG_KEY_MAX + 32], path[40], to[64];

	(void)snprintf(from, sizeof(from), "images/%s", key);
	int fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return 0;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 || !stands(fd, from)) {
		(void)close(fd);
		return 1;
	}
	int holder = img_store_temporary(path), rc = -1;

	(void)snprintf(to, sizeof(to), "%s/gone", path);
	if (holder >= 0 && rename(from, to) < 0)
		(void)img_fail("system", "cannot take %s out: %s", from, strerror(errno));
	else if (holder >= 0)
		rc = 0;
	(void)close(fd);
	if (holder >= 0) {
		(void)img_tree_remove(path);
		(void)close(holder);
	}
	return rc;
}
