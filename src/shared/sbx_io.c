/* SPDX-License-Identifier: MIT */
#include "sbx_io.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int sbx_io_write(int fd, const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t w = write(fd, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0) {
			errno = w ? errno : EIO;
			return -1;
		}
		p += w;
		n -= (size_t)w;
	}
	return 0;
}

ssize_t sbx_io_read(int fd, void *out, size_t n)
{
	size_t got = 0;

	while (got < n) {
		ssize_t r = read(fd, (char *)out + got, n - got);

		if (r < 0 && errno == EINTR)
			continue;
		if (r < 0)
			return -1;
		if (r == 0)
			break;
		got += (size_t)r;
	}
	return (ssize_t)got;
}

int sbx_io_copy(int in, int out)
{
	char buf[65536];
	ssize_t n;

	while ((n = sbx_io_read(in, buf, sizeof(buf))) > 0)
		if (sbx_io_write(out, buf, (size_t)n) < 0)
			return -1;
	return n < 0 ? -1 : 0;
}

static void close_keeping_errno(int fd)
{
	int saved = errno;

	(void)close(fd);
	errno = saved;
}

ssize_t sbx_io_read_at(int dir, const char *name, char *out, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : sbx_io_read(fd, out, size - 1);

	if (fd >= 0)
		close_keeping_errno(fd);
	out[n < 0 ? 0 : n] = '\0';
	return n;
}

int sbx_io_write_at(int dir, const char *name, int flags, const void *bytes, size_t n)
{
	int fd = openat(dir, name, flags | O_WRONLY | O_CLOEXEC | O_NOFOLLOW, 0600);
	int rc = fd < 0 ? -1 : sbx_io_write(fd, bytes, n);

	if (fd >= 0)
		close_keeping_errno(fd);
	return rc;
}
