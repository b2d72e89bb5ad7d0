/* SPDX-License-Identifier: MIT */
#include "sup_outer.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sup_cgroup_part.h"

static uint64_t machine_kills(void)
{
	static char text[32768];
	const char *row = sbx_io_read_at(AT_FDCWD, "/proc/vmstat", text, sizeof(text)) < 0 ? NULL : strstr(text, "\noom_kill ");

	return row ? strtoull(row + strlen("\noom_kill "), NULL, 10) : 0;
}

void sup_outer_init(struct sup_outer *o)
{
	o->kills = machine_kills();
}

/* The number in a file of a directory; UINT64_MAX for "max", or where there is none. */
static uint64_t number_in(int dir, const char *name)
{
	char text[64], *end;

	if (sbx_io_read_at(dir, name, text, sizeof(text)) < 0)
		return UINT64_MAX;
	unsigned long long n = strtoull(text, &end, 10);

	return end == text ? UINT64_MAX : n;
}

static bool memory_struck(int dir, char *what, size_t size)
{
	uint64_t v2 = number_in(dir, "memory.max"), limit = v2 != UINT64_MAX ? v2 : number_in(dir, "memory.limit_in_bytes");

	/* "No limit" of v1 is the largest number of pages. */
	if (limit >> 62 || !(sup_cgroup_keyed(dir, "memory.events", "oom") || sup_cgroup_reached(dir)))
		return false;
	(void)snprintf(what, size, "which allows %llu MiB", (unsigned long long)limit >> 20);
	return true;
}

static bool pids_struck(int dir, char *what, size_t size)
{
	uint64_t limit = number_in(dir, "pids.max"), peak = number_in(dir, "pids.peak");

	/* pids.events of v1 is counted where a fork was tried. Before Linux 6.6 nothing else tells: the nearest limit is as good a guess. */
	if (limit == UINT64_MAX || peak < limit)
		return false;
	(void)snprintf(what, size, "which allows %llu", (unsigned long long)limit);
	return true;
}

/* Where a controller's groups are, and the path below of the group above ours, or of the one that we are in ourselves. */
static bool above(const struct sup_cgroup *c, const char *controller, int index, char *point, char *path, size_t size)
{
	bool v1 = sup_cgroup_mount_point(controller, point, size) == 0;

	if (!v1 && sup_cgroup_mount_point("", point, size) < 0)
		return false;
	size_t n = strlen(point);

	if (index >= 0 && !strncmp(c->path[index], point, n)) {
		(void)snprintf(path, size, "%s", c->path[index] + n);
		*strrchr(path, '/') = '\0';
		return true;
	}
	return sup_cgroup_own_path(v1 ? controller : "", path, size) == 0;
}

/* The nearest one that was full; `who` gets its name. */
static bool find(const struct sup_cgroup *c, const char *controller, int index, bool (*struck)(int, char *, size_t), char *who, size_t size)
{
	char point[512], path[512], dir[1100], what[64];

	if (!above(c, controller, index, point, path, sizeof(path)))
		return false;
	for (;;) {
		(void)snprintf(dir, sizeof(dir), "%s%s", point, path);
		int fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
		bool full = fd >= 0 && struck(fd, what, sizeof(what));

		if (fd >= 0)
			(void)close(fd);
		if (full) {
			(void)snprintf(who, size, "the host's %s cgroup %.200s, %s", controller, *path ? path : "/", what);
			return true;
		}
		if (!*path)
			return false;
		*strrchr(path, '/') = '\0';
	}
}

bool sup_outer_killed(const struct sup_outer *o, const struct sup_cgroup *c, bool told, char *who, size_t size)
{
	/*
	 * The kernel counts a kill for the group that its process was in, whichever limit it was for. One of a guest's processes that
	 * is killed so is told as an end of the guest's own; without a group it may also be another's.
	 */
	uint64_t kills = c->memory >= 0 ? sup_cgroup_oom_kills(c) : !told && machine_kills() > o->kills;

	if (!kills || sup_cgroup_full(c))
		return false;
	if (!find(c, "memory", c->memory, memory_struck, who, size))
		(void)snprintf(who, size, "the kernel's OOM killer: the machine ran out of memory");
	return true;
}

/* What runsc's processes have of threads until a guest begins: where all of a user's may be no more, no word of theirs is needed. */
#define START_THREADS 64

bool sup_outer_refused(const struct sup_cgroup *c, const char *words, char *who, size_t size)
{
	static const char *const said[] = {	/* Go's, and gVisor's */
		"newosproc", "failed to create a syscall thread", "failed to create new OS thread", "failed to get clone",
		"resource temporarily unavailable",
	};
	struct rlimit r;
	bool processes = false;

	if (find(c, "pids", c->pids, pids_struck, who, size))
		return true;
	for (unsigned i = 0; i < sizeof(said) / sizeof(said[0]); i++)
		processes = processes || strstr(words, said[i]);
	if (getrlimit(RLIMIT_NPROC, &r) < 0 || r.rlim_cur == RLIM_INFINITY || (!processes && r.rlim_cur > START_THREADS))
		return false;
	(void)snprintf(who, size, "RLIMIT_NPROC (ulimit -u) of %llu processes of this user", (unsigned long long)r.rlim_cur);
	return true;
}
