/* SPDX-License-Identifier: MIT */
#include "sup_gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sbx_time.h"
#include "sup_cgroup_part.h"
#include "sup_meter.h"

/*
 * Each round finds what was forked by what the one before moved; runsc has forked three at most until it asks. One that is a child
 * already is in no list until its parent, which may wait for a processor, has finished to make it: so there is a pause, too.
 */
#define SECONDS 5.0
#define PAUSE_NS 200000
/* Numbers of processes, a line each. */
#define LIST 16384

struct round {
	const struct sup_cgroup *c;
	char list[SUP_CGROUP_MAX][LIST];	/* who was inside when it began */
	bool moved;
	int failed;				/* errno */
};

bool sup_gather_can(const struct sup_cgroup *c, const struct sup_request *r)
{
	char map[64];
	unsigned long inside, outside, n;

	return c->version == SUP_CGROUP_V1 && r->trace && !r->rootless && geteuid() == 0 &&
	       sbx_io_read_at(AT_FDCWD, "/proc/self/uid_map", map, sizeof(map)) > 0 &&
	       sscanf(map, "%lu %lu %lu", &inside, &outside, &n) == 3 && n == 4294967295UL;
}

static int outside(struct sup_error *e, int err)
{
	return sup_error(e, "system", "runsc cannot be moved into its cgroups: %s", strerror(err));
}

int sup_gather_child(const struct sup_cgroup *c, pid_t child, struct sup_error *e)
{
	for (unsigned i = 0; i < c->n; i++)
		if (sup_cgroup_write(c->fd[i], "cgroup.procs", "%d", (int)child) < 0 && errno != ESRCH)
			return outside(e, errno);
	return 0;
}

static bool listed(const char *list, pid_t pid)
{
	char line[16];
	size_t n = (size_t)snprintf(line, sizeof(line), "%d\n", (int)pid);

	for (const char *p = list; (p = strstr(p, line)); p += n)
		if (p == list || p[-1] == '\n')
			return true;
	return false;
}

/* What waits to be reaped uses nothing, forks nothing, and is in no list. */
static bool ended(pid_t pid)
{
	char path[64], text[512];

	(void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	const char *name_end = sbx_io_read_at(AT_FDCWD, path, text, sizeof(text)) > 0 ? strrchr(text, ')') : NULL;

	return !name_end || strchr("ZX", name_end[1] ? name_end[2] : 'Z');
}

/* Before its children are looked for: what it forks from now on is born inside. */
static void bring(pid_t pid, void *arg)
{
	struct round *r = arg;

	for (unsigned i = 0; i < r->c->n; i++) {
		if (listed(r->list[i], pid))
			continue;
		if (sup_cgroup_write(r->c->fd[i], "cgroup.procs", "%d", (int)pid) < 0 && errno != ESRCH)
			r->failed = errno;
		if (!ended(pid))
			r->moved = true;
	}
}

/*
 * Until a round finds all of them inside. Whoever was forked outside was so by one that a round has moved or that has ended since, and
 * is its child then, or ours, in the next.
 */
int sup_gather_all(const struct sup_cgroup *c, struct sup_error *e)
{
	static struct round r;

	for (double limit = sbx_time_now() + SECONDS; sbx_time_now() < limit; (void)nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL)) {
		r.c = c;
		r.moved = false;
		r.failed = 0;
		for (unsigned i = 0; i < c->n; i++)
			if (sbx_io_read_at(c->fd[i], "cgroup.procs", r.list[i], sizeof(r.list[i])) < 0)
				return outside(e, errno);
		sup_meter_walk(getpid(), bring, &r);
		if (r.failed)
			return outside(e, r.failed);
		if (!r.moved)
			return 0;
	}
	return outside(e, EBUSY);
}
