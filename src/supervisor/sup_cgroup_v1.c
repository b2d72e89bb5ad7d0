/* SPDX-License-Identifier: MIT */
#include "sup_cgroup_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sbx_io.h"

static int add(struct sup_cgroup *c, const struct sup_request *r, const char *controller)
{
	char point[512], own[512], parent[1100];

	if (sup_cgroup_mount_point(controller, point, sizeof(point)) < 0 || sup_cgroup_own_path(controller, own, sizeof(own)) < 0)
		return -1;
	bool fixed = r->cgroup_parent && r->cgroup_parent[0] == '/';

	(void)snprintf(parent, sizeof(parent), "%s%s", point, fixed ? r->cgroup_parent : own);
	return sup_cgroup_add(c, parent, r->id);
}

/*
 * A device's node in a rootfs is opened on the host by a runsc that knows no better, and the oldest one, as root, takes no root that
 * is nodev: then it has the devices without a machine behind them, and no other.
 */
static void bound_devices(struct sup_cgroup *c, const struct sup_request *r)
{
	static const char *const allowed[] = { "c 1:3 rw", "c 1:5 rw", "c 1:7 rw", "c 1:8 rw", "c 1:9 rw" };	/* null zero full random urandom */

	if (r->nodev || !strcmp(r->rootfs, "host") || geteuid() != 0)
		return;
	int i = add(c, r, "devices");

	if (i < 0 || sup_cgroup_write(c->fd[i], "devices.deny", "a") < 0)
		return;
	for (unsigned k = 0; k < sizeof(allowed) / sizeof(allowed[0]); k++)
		(void)sup_cgroup_write(c->fd[i], "devices.allow", "%s", allowed[k]);
	if (!strcmp(r->platform, "kvm"))
		(void)sup_cgroup_write(c->fd[i], "devices.allow", "c 10:232 rw");
}

static void make(struct sup_cgroup *c, const struct sup_request *r)
{
	c->cpuacct = add(c, r, "cpuacct");
	if (r->memory)
		c->memory = add(c, r, "memory");
	if (r->pids)
		c->pids = add(c, r, "pids");
	if (r->cpus > 0)
		c->cpu = add(c, r, "cpu");
	if (c->n)	/* alone it holds no limit, and would keep us from v2 */
		bound_devices(c, r);
}

/* Never more than before: then the limit of memory and swap together comes last. */
static void set_memory(const struct sup_cgroup *c, unsigned long long bytes)
{
	(void)sup_cgroup_write(c->fd[c->memory], "memory.limit_in_bytes", "%llu", bytes);
	(void)sup_cgroup_write(c->fd[c->memory], "memory.memsw.limit_in_bytes", "%llu", bytes);
}

static int set_quota(const struct sup_cgroup *c, long us)
{
	return sup_cgroup_write(c->fd[c->cpu], "cpu.cfs_quota_us", "%ld", us ? us : -1);
}

static uint64_t oom_kills(const struct sup_cgroup *c)
{
	return sup_cgroup_keyed(c->fd[c->memory], "memory.oom_control", "oom_kill");
}

/* Each processor takes up to 64 pages in advance. (memory.failcnt stays 0 on Linux 6.18, where a group was full all the same.) */
#define NEARLY (1ull << 20)

bool sup_cgroup_reached(int dir)
{
	static const char *const names[][2] = {
		{ "memory.limit_in_bytes", "memory.max_usage_in_bytes" }, { "memory.memsw.limit_in_bytes", "memory.memsw.max_usage_in_bytes" },
	};
	char limit[64], most[64];

	for (unsigned i = 0; i < 2; i++)
		if (sbx_io_read_at(dir, names[i][0], limit, sizeof(limit)) > 0 && sbx_io_read_at(dir, names[i][1], most, sizeof(most)) > 0 &&
		    strtoull(most, NULL, 10) + NEARLY >= strtoull(limit, NULL, 10))
			return true;
	return false;
}

static bool full(const struct sup_cgroup *c)
{
	return sup_cgroup_reached(c->fd[c->memory]);
}

static double cpu_time(const struct sup_cgroup *c)
{
	char text[64];

	if (sbx_io_read_at(c->fd[c->cpuacct], "cpuacct.usage", text, sizeof(text)) < 0)
		return -1;
	return (double)strtoull(text, NULL, 10) / 1e9;
}

const struct sup_cgroup_part sup_cgroup_v1 = { SUP_CGROUP_V1, make, set_memory, set_quota, oom_kills, full, cpu_time };
