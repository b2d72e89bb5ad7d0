/* SPDX-License-Identifier: MIT */
#include "sbx_fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Where /proc is not there either: no more numbers than this are tried. */
#define NUMBERS_MAX (1u << 20)

int sbx_fd_take(struct sbx_fd *f, int fd)
{
	struct stat st;
	int own = fd;

	*f = SBX_FD_NONE;
	if (fd < 0)
		return -1;
	if (fd < 3) {
		own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		int saved = errno;

		(void)close(fd);
		errno = saved;
	}
	if (own < 0)
		return -1;
	if (fstat(own, &st) < 0) {
		(void)close(own);
		errno = EBADF;
		return -1;
	}
	*f = (struct sbx_fd){ .number = own, .dev = st.st_dev, .ino = st.st_ino, .type = st.st_mode & S_IFMT };
	return 0;
}

int sbx_fd_get(const struct sbx_fd *f)
{
	struct stat st;

	if (f->number >= 0 && fstat(f->number, &st) == 0 && st.st_ino == f->ino && st.st_dev == f->dev && (st.st_mode & S_IFMT) == f->type)
		return f->number;
	errno = EBADF;
	return -1;
}

void sbx_fd_close(struct sbx_fd *f)
{
	int saved = errno, fd = sbx_fd_get(f);

	if (fd >= 0)
		(void)close(fd);
	f->number = -1;
	errno = saved;
}

static void end_one(int fd, bool on_exec)
{
	if (on_exec)
		(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	else
		(void)close(fd);
}

/* getdents(2)'s own record: readdir would need memory, which here may be another process's. */
struct entry {
	uint64_t ino;
	int64_t off;
	uint16_t size;
	uint8_t type;
	char name[];
};

static int number_of(const char *name)
{
	int n = 0;

	if (*name < '0' || *name > '9')
		return -1;
	for (; *name >= '0' && *name <= '9' && n < 100000000; name++)
		n = n * 10 + (*name - '0');
	return n;
}

/* false: /proc does not tell. */
static bool by_proc(unsigned first, bool on_exec)
{
	_Alignas(8) char text[2048];
	int dir = open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	long n;

	if (dir < 0)
		return false;
	/* The kernel's place in this directory is a number of a descriptor, so that closing some skips none. */
	while ((n = syscall(SYS_getdents64, dir, text, sizeof(text))) > 0)
		for (long at = 0; at < n; at += ((struct entry *)(void *)(text + at))->size) {
			int fd = number_of(((struct entry *)(void *)(text + at))->name);

			if (fd >= 0 && (unsigned)fd >= first && fd != dir)
				end_one(fd, on_exec);
		}
	(void)close(dir);
	return n == 0;
}

void sbx_fd_close_from(unsigned first, bool on_exec)
{
	struct rlimit r;

	if (syscall(SYS_close_range, first, ~0u, on_exec ? CLOSE_RANGE_CLOEXEC : 0) == 0 || by_proc(first, on_exec))
		return;
	/* What was opened under a higher limit is beyond this one. */
	unsigned end = getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_max < NUMBERS_MAX && r.rlim_max > 65536 ? (unsigned)r.rlim_max : NUMBERS_MAX;

	for (unsigned fd = first; fd < end; fd++)
		end_one((int)fd, on_exec);
}
