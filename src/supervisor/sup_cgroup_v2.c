/* SPDX-License-Identifier: MIT */
#include "sup_cgroup_part.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_io.h"

/* The kernel wants a process to have the common ancestor, too: whether it may enter is found out by a child that tries. */
static bool may_enter(const struct sup_cgroup *c)
{
	int status = 0;
	pid_t pid = fork();

	if (pid == 0)
		_exit(sup_cgroup_write(c->fd[0], "cgroup.procs", "0") < 0 ? errno & 0x7f : 0);
	if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
		return false;
	errno = WEXITSTATUS(status);
	return errno == 0;
}

static bool has_controllers(const char *parent)
{
	char text[512];
	int fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	bool has = fd >= 0 && sbx_io_read_at(fd, "cgroup.subtree_control", text, sizeof(text)) >= 0 && strstr(text, "memory") &&
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
		if (sup_cgroup_write(fd, "cgroup.subtree_control", "%s", wanted[i]) < 0)
			error = errno;
	if (fd >= 0)
		close(fd);
	if (has_controllers(parent))
		return true;
	(void)sup_cgroup_because(c, "memory and pids are not enabled below %.100s: %s", parent, sup_cgroup_remedy(error));
	return false;
}

/*
 * v2: below the given parent; else beside our own group (delegation), or as root below a group of ours at the top. That one only where
 * nothing bounds us: what a service was given holds for its sandboxes as well.
 */
static int find_parent(struct sup_cgroup *c, const struct sup_request *r, char *out, size_t size)
{
	char point[512], own[512], limit[700];

	if (sup_cgroup_mount_point("", point, sizeof(point)) < 0 || sup_cgroup_own_path("", own, sizeof(own)) < 0)
		return sup_cgroup_because(c, "no cgroup file system is mounted (mount -t cgroup2 cgroup2 /sys/fs/cgroup)");
	if (r->cgroup_parent && r->cgroup_parent[0] == '/') {
		(void)snprintf(out, size, "%s%s", point, r->cgroup_parent);
		return enable_controllers(c, out) ? 0 : -1;
	}
	bool bound = sup_cgroup_bound(point, own, limit, sizeof(limit));

	if (geteuid() == 0 && !bound && enable_controllers(c, point)) {
		(void)snprintf(out, size, "%s/lua-sandbox", point);
		if ((mkdir(out, 0755) == 0 || errno == EEXIST) && enable_controllers(c, out))
			return 0;
	}
	char *slash = strrchr(own, '/');

	if (slash)	/* in the group at the top there is nothing beside us */
		*slash = '\0';
	(void)snprintf(out, size, "%s%s", point, own);
	if (bound && geteuid() == 0 && !sup_cgroup_given(point, own))
		return sup_cgroup_because(c, "%.150s bounds this process, and no group beside it is its own to make (systemd: Delegate=yes and"
					  " DelegateSubgroup=, or an empty group as cgroup_parent)", limit);
	if (access(out, W_OK) < 0)
		return sup_cgroup_because(c, "no group can be made in %.100s: %s", out, sup_cgroup_remedy(errno));
	return enable_controllers(c, out) ? 0 : -1;
}

static void make(struct sup_cgroup *c, const struct sup_request *r)
{
	char parent[1100];

	if (find_parent(c, r, parent, sizeof(parent)) < 0 || sup_cgroup_add(c, parent, r->id) < 0)
		return;
	int fd = c->fd[0];

	if (faccessat(fd, "memory.max", W_OK, 0) < 0 || !may_enter(c)) {
		(void)sup_cgroup_because(c, "%.100s cannot be used: %s", parent, sup_cgroup_remedy(errno));
		sup_cgroup_drop(c);
		return;
	}
	c->memory = c->pids = c->cpuacct = 0;
	(void)sup_cgroup_write(fd, "memory.oom.group", "1");
	if (r->cpus > 0 && faccessat(fd, "cpu.max", W_OK, 0) == 0)
		c->cpu = 0;
}

static void set_memory(const struct sup_cgroup *c, unsigned long long bytes)
{
	(void)sup_cgroup_write(c->fd[0], "memory.max", "%llu", bytes);
	(void)sup_cgroup_write(c->fd[0], "memory.swap.max", "0");
}

static int set_quota(const struct sup_cgroup *c, long us)
{
	return us ? sup_cgroup_write(c->fd[0], "cpu.max", "%ld 100000", us) : sup_cgroup_write(c->fd[0], "cpu.max", "max 100000");
}

static uint64_t oom_kills(const struct sup_cgroup *c)
{
	return sup_cgroup_keyed(c->fd[0], "memory.events", "oom_kill");
}

static bool full(const struct sup_cgroup *c)
{
	return sup_cgroup_keyed(c->fd[0], "memory.events", "oom") > 0;
}

static double cpu_time(const struct sup_cgroup *c)
{
	return (double)sup_cgroup_keyed(c->fd[0], "cpu.stat", "usage_usec") / 1e6;
}

const struct sup_cgroup_part sup_cgroup_v2 = { SUP_CGROUP_V2, make, set_memory, set_quota, oom_kills, full, cpu_time };
