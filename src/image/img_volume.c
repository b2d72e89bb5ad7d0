/* SPDX-License-Identifier: MIT */
#include "img_volume.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "img_say.h"
#include "img_tree.h"
#include "sbx_time.h"
#include "sbx_volume.h"

/* What is to go is called so: no volume is. */
#define GONE ".gone-"

/* Opens what is here, a directory or one with a size's file, with its lock. -1 and errno; EWOULDBLOCK: somebody has it. */
static int take(const char *name)
{
	struct stat mine, there;
	int fd = open(name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -1;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0 && fstat(fd, &mine) == 0 && lstat(name, &there) == 0 && mine.st_ino == there.st_ino && mine.st_dev == there.st_dev)
		return fd;
	(void)close(fd);
	errno = EWOULDBLOCK;
	return -1;
}

/* Those whose removal was interrupted, too. */
static void sweep(void)
{
	DIR *d = opendir(".");

	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		int fd = strncmp(e->d_name, GONE, strlen(GONE)) ? -1 : take(e->d_name);

		if (fd < 0)
			continue;
		(void)img_tree_remove(e->d_name);
		(void)close(fd);
	}
	if (d)
		(void)closedir(d);
}

int img_volume_remove(const char *dir, const char *name)
{
	char gone[300];
	struct stat st;

	if (chdir(dir) < 0 || stat(".", &st) < 0)
		return errno == ENOENT ? img_fail("not_found", "there is no volume %s", name) : img_fail("system", "%s: %s", dir, strerror(errno));
	if (st.st_uid != geteuid() || (st.st_mode & 0077))
		return img_fail("not_supported", "%s is not yours alone", dir);
	double limit = sbx_time_now() + SBX_VOLUME_SECONDS;
	int fd = take(name);

	while (fd < 0 && errno == EWOULDBLOCK && sbx_time_now() < limit) {
		(void)nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
		fd = take(name);
	}
	if (fd < 0)
		return errno == EWOULDBLOCK ? img_fail("busy", "volume %s is in use", name) : errno == ENOENT ?
		       img_fail("not_found", "there is no volume %s", name) : img_fail("system", "volume %s: %s", name, strerror(errno));
	(void)snprintf(gone, sizeof(gone), GONE "%s-%d", name, (int)getpid());
	int rc = rename(name, gone);

	(void)close(fd);
	if (rc < 0)
		return img_fail("system", "volume %s: %s", name, strerror(errno));
	sweep();
	img_done(name, 1);
	return 0;
}
