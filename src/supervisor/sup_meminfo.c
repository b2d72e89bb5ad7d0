/* SPDX-License-Identifier: MIT */
#include "sup_meminfo.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * The builds that mount a proc in a user namespace may do so only where one is to be seen whole (mount_too_revealing in the
 * kernel's fs/namespace.c): so it stays to be seen in m.
 */
void sup_meminfo_place(const struct sup_request *r, const struct sup_dir *d)
{
	char path[320], whole[320], text[200];
	unsigned long long kib = r->memory / 1024;
	int n = snprintf(text, sizeof(text), "MemTotal:       %8llu kB\nMemFree:        %8llu kB\nMemAvailable:   %8llu kB\n", kib, kib, kib);
	int fd = r->memory ? open(sup_dir_at(d, "m/meminfo", path, sizeof(path)), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0444) : -1;

	if (fd < 0)
		return;
	ssize_t w = write(fd, text, (size_t)n);

	(void)close(fd);
	if (w == n && mkdir(sup_dir_at(d, "m/proc", whole, sizeof(whole)), 0700) == 0) {
		(void)mount("/proc", whole, NULL, MS_BIND, NULL);
		(void)mount(path, "/proc/meminfo", NULL, MS_BIND, NULL);
	}
}
