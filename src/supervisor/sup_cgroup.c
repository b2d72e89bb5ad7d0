/* SPDX-License-Identifier: MIT */
#include "sup_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "sup_dir.h"

#define NAME "lua-sandbox-"
/* runsc's own share: its heap, its page tables and such of its file pages as it works with (mechanics measured at most
 * 53 MB); the limit itself is held by the supervisor's readings. */
#define MEMORY_OVERHEAD (128ull << 20)

static int read_at(int dir, const char *name, char *out, size_t size)
{
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	ssize_t n = read(fd, out, size - 1);

	close(fd);
	if (n < 0)
		return -1;
	out[n] = '\0';
	return 0;
}

static int write_at(int dir, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

static int write_at(int dir, const char *name, const char *fmt, ...)
{
	char text[64];
	va_list ap;
	int fd = openat(dir, name, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	va_start(ap, fmt);
	int n = vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ssize_t w = write(fd, text, (size_t)n);

	close(fd);
	return w == n ? 0 : -1;
}

/* Notes the first thing that stood in the way; always -1. */
static int because(struct sup_cgroup *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int because(struct sup_cgroup *c, const char *fmt, ...)
{
	va_list ap;

	if (c->why[0])
		return -1;
	va_start(ap, fmt);
	(void)vsnprintf(c->why, sizeof(c->why), fmt, ap);
	va_end(ap);
	return -1;
}

/* What an errno of the cgroup file system means to a person (measured on v1 and v2). */
static const char *remedy(int error)
{
	switch (error) {
	case EACCES:
	case EPERM:
		return "it is not delegated to this user (systemd-run --user --scope -p Delegate=yes, or Delegate=yes and"
		       " DelegateSubgroup= in the service; of cgroup v1 one that root has made and chowned, as cgroup_parent)";
	case EROFS:
		return "it is mounted read-only (as containers do; mount it writable)";
	case EBUSY:
		return "there are processes in it (move them to a group below it, as systemd's DelegateSubgroup= does, or give"
		       " an empty one as cgroup_parent)";
	case ENOENT:
		return "it is not there (mkdir), or a controller is not enabled above it (echo +memory +pids >cgroup.subtree_control)";
	case EAGAIN:
		return "there are as many groups as may be (cgroup.max.descendants, cgroup.max.depth)";
	default:
		return strerror(error);
	}
}

/* The number behind a key of a flat-keyed file; 0 when there is none. */
static uint64_t keyed(int dir, const char *file, const char *key)
{
	char text[4096];
	size_t k = strlen(key);

	if (dir < 0 || read_at(dir, file, text, sizeof(text)) < 0)
		return 0;
	for (char *line = text; line && *line; line = strchr(line, '\n'), line = line ? line + 1 : NULL)
		if (!strncmp(line, key, k) && line[k] == ' ')
			return strtoull(line + k, NULL, 10);
	return 0;
}

/* The path of the calling process in a hierarchy: "memory" of v1, "" of v2. */
static int own_path(const char *controller, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/cgroup", "re");
	char line[1024];
	int rc = -1;

	while (f && rc < 0 && fgets(line, sizeof(line), f)) {
		char *names = strchr(line, ':'), *path = names ? strchr(names + 1, ':') : NULL;

		if (!path)
			continue;
		*path++ = '\0';
		path[strcspn(path, "\n")] = '\0';
		bool found = *controller ? false : !names[1];

		for (char *save = NULL, *t = strtok_r(names + 1, ",", &save); t && *controller; t = strtok_r(NULL, ",", &save))
			found = found || !strcmp(t, controller);
		if (found)
			rc = snprintf(out, size, "%s", strcmp(path, "/") ? path : "") < (int)size ? 0 : -1;
	}
	if (f)
		fclose(f);
	return rc;
}

/* Where a hierarchy is mounted. */
static int mount_point(const char *controller, char *out, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[2048];
	int rc = -1;

	while (f && rc < 0 && fgets(line, sizeof(line), f)) {
		char root[512], point[512], type[32], options[512];
		char *dash = strstr(line, " - ");

		if (!dash || sscanf(line, "%*s %*s %*s %511s %511s", root, point) != 2 ||
		    sscanf(dash, " - %31s %*s %511s", type, options) != 2)
			continue;
		bool found = *controller ? false : !strcmp(type, "cgroup2");

		for (char *save = NULL, *t = strtok_r(options, ",", &save); t && *controller; t = strtok_r(NULL, ",", &save))
			found = found || (!strcmp(type, "cgroup") && !strcmp(t, controller));
		if (found)
			rc = snprintf(out, size, "%s", point) < (int)size ? 0 : -1;
	}
	if (f)
		fclose(f);
	return rc;
}

/* Makes one group below a directory; its index or -1. */
static int add_group(struct sup_cgroup *c, const char *parent, const char *id)
{
	unsigned i = c->n;

	for (unsigned k = 0; k < c->n; k++)	/* v1: cpu and cpuacct are often one hierarchy */
		if (!strncmp(c->path[k], parent, strlen(parent)) && !strchr(c->path[k] + strlen(parent) + 1, '/'))
			return (int)k;
	if (i == SUP_CGROUP_MAX ||
	    snprintf(c->path[i], sizeof(c->path[i]), "%s/" NAME "%s", parent, id) >= (int)sizeof(c->path[i]))
		return -1;
	if (mkdir(c->path[i], 0755) < 0)
		return because(c, "no group can be made in %.100s: %s", parent, remedy(errno));
	c->fd[i] = open(c->path[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
	/* A mkdir that worked proves nothing: may we move ourselves in there? */
	int procs = c->fd[i] < 0 ? -1 : openat(c->fd[i], "cgroup.procs", O_WRONLY | O_CLOEXEC);

	if (procs < 0) {
		(void)because(c, "no process may be put in a group of %.100s: %s", parent, remedy(errno));
		if (c->fd[i] >= 0)
			close(c->fd[i]);
		(void)rmdir(c->path[i]);
		return -1;
	}
	close(procs);
	c->n++;
	return (int)i;
}

static void drop_group(struct sup_cgroup *c)
{
	c->n--;
	close(c->fd[c->n]);
	(void)rmdir(c->path[c->n]);
}

static int add_v1(struct sup_cgroup *c, const struct sup_request *r, const char *controller)
{
	char point[512], own[512], parent[1100];

	if (mount_point(controller, point, sizeof(point)) < 0 || own_path(controller, own, sizeof(own)) < 0)
		return -1;
	bool fixed = r->cgroup_parent && r->cgroup_parent[0] == '/';

	(void)snprintf(parent, sizeof(parent), "%s%s", point, fixed ? r->cgroup_parent : own);
	return add_group(c, parent, r->id);
}

/* Never more than before: then the limit of memory and swap together comes last. */
static void set_memory(const struct sup_cgroup *c, const struct sup_request *r)
{
	unsigned long long limit = r->memory + MEMORY_OVERHEAD;

	if (c->memory < 0 || !r->memory)
		return;
	int fd = c->fd[c->memory];

	if (c->version == SUP_CGROUP_V1) {
		(void)write_at(fd, "memory.limit_in_bytes", "%llu", limit);
		(void)write_at(fd, "memory.memsw.limit_in_bytes", "%llu", limit);
	} else {
		(void)write_at(fd, "memory.max", "%llu", limit);
		(void)write_at(fd, "memory.swap.max", "0");
	}
}

static void make_v1(struct sup_cgroup *c, const struct sup_request *r)
{
	c->cpuacct = add_v1(c, r, "cpuacct");
	if (r->memory) {
		c->memory = add_v1(c, r, "memory");
		if (c->memory >= 0)
			c->version = SUP_CGROUP_V1;
		set_memory(c, r);
	}
	if (r->pids)
		c->pids = add_v1(c, r, "pids");
	if (r->cpus > 0)
		c->cpu = add_v1(c, r, "cpu");
	if (c->n)
		c->version = SUP_CGROUP_V1;
}

/* The kernel wants a process to have the common ancestor, too: whether it may enter is found out by a child that tries. */
static bool may_enter(const struct sup_cgroup *c)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(write_at(c->fd[0], "cgroup.procs", "0") < 0 ? errno & 0x7f : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return false;
	errno = WEXITSTATUS(status);
	return errno == 0;
}

/* Microseconds of CPU in each period of 100 ms; the kernel takes no less than one. */
static int set_quota(const struct sup_cgroup *c, bool on)
{
	long quota = (long)(c->cpus * 100000);
	int fd = c->fd[c->cpu];

	quota = quota < 1000 ? 1000 : quota;
	if (c->version == SUP_CGROUP_V1)
		return write_at(fd, "cpu.cfs_quota_us", "%ld", on ? quota : -1);
	return on ? write_at(fd, "cpu.max", "%ld 100000", quota) : write_at(fd, "cpu.max", "max 100000");
}

static bool has_controllers(const char *parent)
{
	char text[512];
	int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool has = fd >= 0 && read_at(fd, "cgroup.subtree_control", text, sizeof(text)) == 0 && strstr(text, "memory") &&
		   strstr(text, "pids");

	if (fd >= 0)
		close(fd);
	return has;
}

static bool enable_controllers(struct sup_cgroup *c, const char *parent)
{
	static const char *const wanted[] = { "+cpu", "+pids", "+memory" };
	int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC), error = fd < 0 ? errno : 0;

	for (unsigned i = 0; fd >= 0 && i < 3; i++)
		if (write_at(fd, "cgroup.subtree_control", "%s", wanted[i]) < 0)
			error = errno;
	if (fd >= 0)
		close(fd);
	if (has_controllers(parent))
		return true;
	(void)because(c, "memory and pids are not enabled below %.100s: %s", parent, remedy(error));
	return false;
}

/* v2: below the given parent; else as root below a group of ours at the top, else beside our own group (delegation). */
static int find_v2_parent(struct sup_cgroup *c, const struct sup_request *r, char *out, size_t size)
{
	char point[512], own[512];

	if (mount_point("", point, sizeof(point)) < 0 || own_path("", own, sizeof(own)) < 0)
		return because(c, "no cgroup file system is mounted (mount -t cgroup2 cgroup2 /sys/fs/cgroup)");
	if (r->cgroup_parent && r->cgroup_parent[0] == '/') {
		(void)snprintf(out, size, "%s%s", point, r->cgroup_parent);
		return enable_controllers(c, out) ? 0 : -1;
	}
	if (geteuid() == 0 && enable_controllers(c, point)) {
		(void)snprintf(out, size, "%s/lua-sandbox", point);
		if ((mkdir(out, 0755) == 0 || errno == EEXIST) && enable_controllers(c, out))
			return 0;
	}
	char *slash = strrchr(own, '/');

	if (slash)	/* in the group at the top there is nothing beside us */
		*slash = '\0';
	(void)snprintf(out, size, "%s%s", point, own);
	if (access(out, W_OK) < 0)
		return because(c, "no group can be made in %.100s: %s", out, remedy(errno));
	return enable_controllers(c, out) ? 0 : -1;
}

static void make_v2(struct sup_cgroup *c, const struct sup_request *r)
{
	char parent[1100];

	if (find_v2_parent(c, r, parent, sizeof(parent)) < 0 || add_group(c, parent, r->id) < 0)
		return;
	int fd = c->fd[0];

	if (faccessat(fd, "memory.max", W_OK, 0) < 0 || !may_enter(c)) {
		(void)because(c, "%.100s cannot be used: %s", parent, remedy(errno));
		drop_group(c);
		return;
	}
	c->version = SUP_CGROUP_V2;
	c->memory = c->pids = c->cpuacct = 0;
	set_memory(c, r);
	(void)write_at(fd, "memory.oom.group", "1");
	if (r->cpus > 0 && faccessat(fd, "cpu.max", W_OK, 0) == 0)
		c->cpu = 0;
}

static void note_paths(const struct sup_cgroup *c, const struct sup_dir *d)
{
	char text[SUP_CGROUP_MAX * 513];
	size_t n = 0;

	for (unsigned i = 0; i < c->n; i++)
		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\n", c->path[i]);
	(void)sup_dir_write(d, "cgroups", text, n);
}

void sup_cgroup_make(struct sup_cgroup *c, const struct sup_request *r, const struct sup_dir *d)
{
	memset(c, 0, sizeof(*c));
	c->memory = c->cpu = c->cpuacct = c->pids = -1;
	c->cpus = r->cpus;
	make_v1(c, r);
	if (!c->n)
		make_v2(c, r);
	/* Whether the quota can be held is found out by setting it; it is lifted again for the boot. */
	c->cpus_held = c->cpu >= 0 && set_quota(c, true) == 0 && set_quota(c, false) == 0;
	/* gVisor needs some 12 host tasks a guest process under ptrace, 4 under systrap, more while a fork bomb's stubs
	 * come and go: a bomb that gets past RLIMIT_NPROC meets this, not the host's limit.
	 * The oldest build panics when it does, so a small limit has room for some seconds of a bomb. */
	if (c->pids >= 0 && r->pids)
		(void)write_at(c->fd[c->pids], "pids.max", "%llu",
			       4096 + (unsigned long long)r->pids * (strcmp(r->platform, "systrap") ? 24 : 8));
	if (c->n)
		c->why[0] = '\0';
	note_paths(c, d);
}

int sup_cgroup_birthplace(const struct sup_cgroup *c)
{
	return c->version == SUP_CGROUP_V2 ? c->fd[0] : -1;
}

int sup_cgroup_join(const struct sup_cgroup *c)
{
	int rc = 0;

	for (unsigned i = 0; i < c->n; i++)
		if (write_at(c->fd[i], "cgroup.procs", "0") < 0)
			rc = -1;
	return rc;
}

uint64_t sup_cgroup_oom_kills(const struct sup_cgroup *c)
{
	if (c->memory < 0)
		return 0;
	return keyed(c->fd[c->memory], c->version == SUP_CGROUP_V1 ? "memory.oom_control" : "memory.events", "oom_kill");
}

double sup_cgroup_cpu_time(const struct sup_cgroup *c)
{
	char text[64];

	if (c->cpuacct < 0)
		return -1;
	if (c->version == SUP_CGROUP_V2)
		return (double)keyed(c->fd[0], "cpu.stat", "usage_usec") / 1e6;
	if (read_at(c->fd[c->cpuacct], "cpuacct.usage", text, sizeof(text)) < 0)
		return -1;
	return (double)strtoull(text, NULL, 10) / 1e9;
}

void sup_cgroup_started(const struct sup_cgroup *c)
{
	if (c->cpus_held)
		(void)set_quota(c, true);
}

void sup_cgroup_update(struct sup_cgroup *c, const struct sup_request *r)
{
	set_memory(c, r);
	c->cpus = r->cpus;
}

int sup_cgroup_throttled(const struct sup_cgroup *c)
{
	return c->cpu < 0 ? -1 : (int)keyed(c->fd[c->cpu], "cpu.stat", "nr_throttled");
}

/* Kills all in a group and removes it; it is empty soon after the kill, rmdir tells. */
static void remove_group(const char *path)
{
	char text[16384];

	for (unsigned round = 0; round < 500; round++) {
		if (rmdir(path) == 0 || errno == ENOENT)
			return;
		int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (fd >= 0 && write_at(fd, "cgroup.kill", "1") < 0 &&
		    read_at(fd, "cgroup.procs", text, sizeof(text)) == 0)
			for (char *p = text, *end; *p; p = end + (*end == '\n')) {
				long pid = strtol(p, &end, 10);

				if (end == p)
					break;
				if (pid > 1)
					(void)kill((pid_t)pid, SIGKILL);
			}
		if (fd >= 0)
			close(fd);
		(void)nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL);
	}
}

void sup_cgroup_remove(struct sup_cgroup *c)
{
	while (c->n) {
		c->n--;
		remove_group(c->path[c->n]);
		close(c->fd[c->n]);
	}
	c->version = SUP_CGROUP_NONE;
}

void sup_cgroup_sweep(const struct sup_dir *d)
{
	char text[SUP_CGROUP_MAX * 513], *save = NULL;
	const char *id = strrchr(d->path, '-');

	(void)sup_dir_read(d, "cgroups", text, sizeof(text));
	for (char *path = strtok_r(text, "\n", &save); path; path = strtok_r(NULL, "\n", &save)) {
		const char *name = strrchr(path, '/');

		/* Only what bears this run's own name. */
		if (name && id && !strncmp(name + 1, NAME, strlen(NAME)) && !strcmp(name + strlen(NAME), id))
			remove_group(path);
	}
}
