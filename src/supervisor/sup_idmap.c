/* SPDX-License-Identifier: MIT */
#include "sup_idmap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_bind.h"

static void close_keeping(int fd)
{
	int saved = errno;

	if (fd >= 0)
		(void)close(fd);
	errno = saved;
}

/* Adds the ids from `from` up to `to`, without that, to a map: each is `base` more. */
static size_t add_range(char *map, size_t n, size_t size, uint32_t from, uint32_t to, uint32_t base)
{
	return from >= to ? n : n + (size_t)snprintf(map + n, size - n, "%u %u %u\n", (unsigned)from, (unsigned)(base + from), (unsigned)(to - from));
}

/* What is below the lower of the two, that one as the other, what is between them, and so on. */
static size_t add_swapped(char *map, size_t size, uint32_t base, const uint32_t pair[2])
{
	bool ordered = pair[0] < pair[1];
	const uint32_t id[2] = { pair[!ordered], pair[ordered] };
	uint32_t at = 0;
	size_t n = 0;

	for (unsigned i = 0; i < 2; i++) {
		uint32_t other = id[!i];

		n = add_range(map, n, size, at, id[i] < SUP_IDMAP_SIZE ? id[i] : SUP_IDMAP_SIZE, base);
		if (other < SUP_IDMAP_SIZE)	/* an owner beyond what guests have has but its other name */
			n += (size_t)snprintf(map + n, size - n, "%u %u 1\n", (unsigned)id[i], (unsigned)(base + other));
		at = id[i] + 1;
	}
	return add_range(map, n, size, at, SUP_IDMAP_SIZE, base);
}

static int write_map(pid_t pid, const char *name, const struct sup_idmap *m, const uint32_t pair[2])
{
	char path[48], map[256];
	size_t n = m->swap && pair[0] != pair[1] ? add_swapped(map, sizeof(map), m->base, pair) : add_range(map, 0, sizeof(map), 0, SUP_IDMAP_SIZE, m->base);

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	return sbx_io_write_at(AT_FDCWD, path, 0, map, n);
}

/* A user namespace is had from a process in it, which is gone as soon as it is open. */
static int namespace_of(const struct sup_idmap *map)
{
	char path[48];
	int fd = -1;
	pid_t parent = getpid();
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent)
			(void)pause();
		_exit(0);
	}
	if (pid < 0)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)pid);
	if (write_map(pid, "uid_map", map, map->uid) == 0 && write_map(pid, "gid_map", map, map->gid) == 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	int saved = errno;

	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = saved;
	return fd;
}

int sup_idmap(int source, const struct sup_idmap *map, int base, const char *name)
{
	int ns = -1, rc = -1, target = -1;

	if (mkdirat(base, name, 0700) == 0)
		target = openat(base, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target >= 0)
		ns = namespace_of(map);
	if (ns >= 0)
		rc = sup_bind_mapped(source, target, ns);
	close_keeping(ns);
	close_keeping(target);
	return rc < 0 ? -1 : openat(base, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}
