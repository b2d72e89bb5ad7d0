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

static int write_map(pid_t pid, const char *name, uint32_t ids)
{
	char path[48], map[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	(void)snprintf(map, sizeof(map), "0 %u %u", (unsigned)ids, SUP_IDMAP_SIZE);
	return sbx_io_write_at(AT_FDCWD, path, 0, map, strlen(map));
}

/* A user namespace is had from a process in it, which is gone as soon as it is open. */
static int namespace_of(uint32_t ids)
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
	if (write_map(pid, "uid_map", ids) == 0 && write_map(pid, "gid_map", ids) == 0)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	int saved = errno;

	(void)kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	errno = saved;
	return fd;
}

int sup_idmap(int source, uint32_t ids, int base, const char *name)
{
	int ns = -1, rc = -1, target = -1;

	if (mkdirat(base, name, 0700) == 0)
		target = openat(base, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target >= 0)
		ns = namespace_of(ids);
	if (ns >= 0)
		rc = sup_bind_mapped(source, target, ns);
	close_keeping(ns);
	close_keeping(target);
	return rc < 0 ? -1 : openat(base, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}
