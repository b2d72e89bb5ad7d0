/* SPDX-License-Identifier: MIT */
#include "sup_cgroup_part.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sbx_time.h"

/* runsc's own share: its heap, its page tables and such of its file pages as it works with (mechanics measured at most
 * 53 MB); the limit itself is held by the supervisor's readings. */
#define MEMORY_OVERHEAD (128ull << 20)
#define EMPTY_SECONDS 10.0	/* what was killed dies at once, but on a machine that has no time for it */

static const struct sup_cgroup_part *const versions[] = { &sup_cgroup_v1, &sup_cgroup_v2 };

int sup_cgroup_write(int dir, const char *name, const char *fmt, ...)
{
	char text[64];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return sbx_io_write_at(dir, name, 0, text, (size_t)n);
}

uint64_t sup_cgroup_keyed(int dir, const char *file, const char *key)
{
	char text[4096];
	size_t k = strlen(key);

	if (dir < 0 || sbx_io_read_at(dir, file, text, sizeof(text)) < 0)
		return 0;
	for (char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, k) && line[k] == ' ')
			return strtoull(line + k, NULL, 10);
	return 0;
}

/* Who dies between a group's making and its name in the record leaves it for ever. */
static int note(const struct sup_cgroup *c, const char *path)
{
	char line[sizeof(c->path[0]) + 1];
	int n = snprintf(line, sizeof(line), "%s\n", path);

	return sbx_io_write_at(c->record, SUP_CGROUP_RECORD, O_CREAT | O_APPEND, line, (size_t)n);
}

int sup_cgroup_add(struct sup_cgroup *c, const char *parent, const char *id)
{
	unsigned i = c->n;

	for (unsigned k = 0; k < c->n; k++)	/* v1: cpu and cpuacct are often one hierarchy */
		if (!strncmp(c->path[k], parent, strlen(parent)) && !strchr(c->path[k] + strlen(parent) + 1, '/'))
			return (int)k;
	if (i == SUP_CGROUP_MAX ||
	    snprintf(c->path[i], sizeof(c->path[i]), "%s/" SUP_CGROUP_NAME "%s", parent, id) >= (int)sizeof(c->path[i]))
		return -1;
	if (note(c, c->path[i]) < 0 || mkdir(c->path[i], 0755) < 0)
		return sup_cgroup_because(c, "no group can be made in %.100s: %s", parent, sup_cgroup_remedy(errno));
	c->fd[i] = open(c->path[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* A mkdir that worked proves nothing: may we move ourselves in there? */
	int procs = c->fd[i] < 0 ? -1 : openat(c->fd[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (procs < 0) {
		(void)sup_cgroup_because(c, "no process may be put in a group of %.100s: %s", parent, sup_cgroup_remedy(errno));
		if (c->fd[i] >= 0)
			close(c->fd[i]);
		(void)rmdir(c->path[i]);
		return -1;
	}
	close(procs);
	c->n++;
	return (int)i;
}

void sup_cgroup_drop(struct sup_cgroup *c)
{
	c->n--;
	close(c->fd[c->n]);
	(void)rmdir(c->path[c->n]);
}

static void set_memory(const struct sup_cgroup *c, const struct sup_request *r)
{
	if (c->memory >= 0 && r->memory)
		c->part->set_memory(c, r->memory + MEMORY_OVERHEAD);
}

/* The kernel takes no quota of less than 1 ms. */
static int set_quota(const struct sup_cgroup *c, bool on)
{
	long quota = (long)(c->cpus * 100000);

	return c->part->set_quota(c, !on ? 0 : quota < 1000 ? 1000 : quota);
}

void sup_cgroup_make(struct sup_cgroup *c, const struct sup_request *r, int run_dir)
{
	memset(c, 0, sizeof(*c));
	c->record = run_dir;
	c->memory = c->cpu = c->cpuacct = c->pids = -1;
	c->cpus = r->cpus;
	for (unsigned i = 0; !c->n && i < sizeof(versions) / sizeof(versions[0]); i++) {
		c->part = versions[i];
		c->part->make(c, r);
	}
	c->version = c->n ? c->part->version : SUP_CGROUP_NONE;
	set_memory(c, r);
	/* Whether the quota can be held is found out by setting it; it is lifted again for the boot. */
	c->cpus_held = c->cpu >= 0 && set_quota(c, true) == 0 && set_quota(c, false) == 0;
	/* gVisor needs some 12 host tasks a guest process under ptrace, 4 under systrap, more while a fork bomb's stubs
	 * come and go: a bomb that gets past RLIMIT_NPROC meets this, not the host's limit.
	 * The oldest build panics when it does, so a small limit has room for some seconds of a bomb. */
	if (c->pids >= 0 && r->pids)
		(void)sup_cgroup_write(c->fd[c->pids], "pids.max", "%llu",
			       4096 + (unsigned long long)r->pids * (strcmp(r->platform, "systrap") ? 24 : 8));
	if (c->n)
		c->why[0] = '\0';
}

int sup_cgroup_birthplace(const struct sup_cgroup *c)
{
	return c->version == SUP_CGROUP_V2 ? c->fd[0] : -1;
}

int sup_cgroup_join(const struct sup_cgroup *c)
{
	int rc = 0;

	for (unsigned i = 0; i < c->n; i++)
		if (sup_cgroup_write(c->fd[i], "cgroup.procs", "0") < 0)
			rc = -1;
	return rc;
}

bool sup_cgroup_full(const struct sup_cgroup *c)
{
	return c->memory >= 0 && c->part->full(c);
}

uint64_t sup_cgroup_oom_kills(const struct sup_cgroup *c)
{
	return c->memory < 0 ? 0 : c->part->oom_kills(c);
}

double sup_cgroup_cpu_time(const struct sup_cgroup *c)
{
	return c->cpuacct < 0 ? -1 : c->part->cpu_time(c);
}

/* Lets every thread of the group run wherever we may. */
static void widen(const struct sup_cgroup *c)
{
	int fd = openat(c->fd[c->cpu], c->version == SUP_CGROUP_V2 ? "cgroup.threads" : "tasks", O_RDONLY | O_CLOEXEC);
	FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
	cpu_set_t all;
	int tid;

	if (f && sched_getaffinity(0, sizeof(all), &all) == 0)
		while (fscanf(f, "%d", &tid) == 1)
			if (tid > 0)
				(void)sched_setaffinity(tid, sizeof(all), &all);
	if (f)
		(void)fclose(f);
	else if (fd >= 0)
		(void)close(fd);
}

/*
 * The few cores that it was started on have told the guest how many there are (sup_spawn.c). From now on the quota holds, over all of
 * the machine's; what is born while they are gone through was born of one that has not been reached, so they are twice.
 */
void sup_cgroup_started(const struct sup_cgroup *c)
{
	if (!c->cpus_held)
		return;
	(void)set_quota(c, true);
	widen(c);
	widen(c);
}

void sup_cgroup_update(struct sup_cgroup *c, const struct sup_request *r)
{
	set_memory(c, r);
	c->cpus = r->cpus;
}

int sup_cgroup_throttled(const struct sup_cgroup *c)
{
	return c->cpu < 0 ? -1 : (int)sup_cgroup_keyed(c->fd[c->cpu], "cpu.stat", "nr_throttled");
}

/* Kills all in a group and removes it; it is empty soon after the kill, rmdir tells. */
static bool remove_group(const char *path)
{
	double limit = sbx_time_now() + EMPTY_SECONDS;
	char text[16384];

	do {
		if (rmdir(path) == 0 || errno == ENOENT)
			return true;
		int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && sup_cgroup_write(fd, "cgroup.kill", "1") < 0 &&
		    sbx_io_read_at(fd, "cgroup.procs", text, sizeof(text)) >= 0)
			for (char *p = text, *end; *p; p = end + (*end == '\n')) {
				long pid = strtol(p, &end, 10);

				if (end == p || *end != '\n')	/* the last one may be cut */
					break;
				if (pid > 1)
					(void)kill((pid_t)pid, SIGKILL);
			}
		if (fd >= 0)
			close(fd);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	} while (sbx_time_now() < limit);
	return false;
}

bool sup_cgroup_remove(struct sup_cgroup *c)
{
	bool all = true;

	while (c->n) {
		c->n--;
		all = remove_group(c->path[c->n]) && all;
		close(c->fd[c->n]);
	}
	c->version = SUP_CGROUP_NONE;
	return all;
}

bool sup_cgroup_sweep(char *paths, const char *id)
{
	bool all = true;
	char *save = NULL;

	for (char *path = strtok_r(paths, "\n", &save); path; path = strtok_r(NULL, "\n", &save)) {
		const char *name = strrchr(path, '/');

		/* Only what bears this run's own name. */
		if (name && !strncmp(name + 1, SUP_CGROUP_NAME, strlen(SUP_CGROUP_NAME)) && !strcmp(name + 1 + strlen(SUP_CGROUP_NAME), id))
			all = remove_group(path) && all;
	}
	return all;
}
