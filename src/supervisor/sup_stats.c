/* SPDX-License-Identifier: MIT */
#include "sup_stats.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static int open_stats(int run, int flags) { return openat(run, "stats", flags | O_CLOEXEC | O_NOFOLLOW, 0600); }
int sup_stats_make(int run) { return open_stats(run, O_CREAT | O_EXCL | O_RDWR); }
int sup_stats_open(int run) { return open_stats(run, O_RDONLY); }

void sup_stats_write(int fd, const struct sup_stats *s)
{
	if (fd >= 0)
		(void)!pwrite(fd, s, sizeof(*s), 0);
}

struct sup_stats sup_stats_read(int fd)
{
	struct sup_stats s;

	if (fd < 0 || pread(fd, &s, sizeof(s), 0) != (ssize_t)sizeof(s))
		memset(&s, 0, sizeof(s));
	return s;
}
