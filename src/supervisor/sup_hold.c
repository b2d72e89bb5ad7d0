/* SPDX-License-Identifier: MIT */
#include "sup_hold.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

int sup_hold_open(int *hold, const char *path, struct sup_error *e)
{
	struct stat mine, there;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 && flock(fd, LOCK_SH | LOCK_NB) == 0 && fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino &&
	    mine.st_dev == there.st_dev) {
		(void)futimens(fd, NULL);
		*hold = fd;
		return 0;
	}
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	return sup_error(e, "bad_rootfs", "the image was removed meanwhile: %s", fd < 0 ? strerror(saved) : "it is going");
}

void sup_hold_close(int *hold)
{
	if (*hold >= 0)
		(void)close(*hold);
	*hold = -1;
}
