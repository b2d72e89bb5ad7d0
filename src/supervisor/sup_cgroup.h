/* SPDX-License-Identifier: MIT
 *
 * sup_cgroup: the run's cgroups, v1 or v2. They are the backstop of memory and pids, hold cpus, and count CPU time.
 * Whether they can be had is found out by making them.
 */
#ifndef SUP_CGROUP_H
#define SUP_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sup_error.h"
#include "sup_request.h"

enum sup_cgroup_version { SUP_CGROUP_NONE, SUP_CGROUP_V1, SUP_CGROUP_V2 };

#define SUP_CGROUP_MAX 5
/* The file in a run's directory that names its groups, each ended by a newline, and what it may come to: one may be tried in vain. */
#define SUP_CGROUP_RECORD "cgroups"
#define SUP_CGROUP_PATHS ((SUP_CGROUP_MAX + 1) * 513)

struct sup_cgroup_part;

struct sup_cgroup {
	enum sup_cgroup_version version;
	const struct sup_cgroup_part *part;	/* what that version does */
	int record;			/* the run's directory, the caller's: a group is named there before it is made */
	unsigned n;			/* v1: one a controller; v2: one */
	char path[SUP_CGROUP_MAX][512];
	int fd[SUP_CGROUP_MAX];		/* O_PATH of each */
	int memory, cpu, cpuacct, pids;	/* index of the group that has the controller, -1: none */
	bool cpus_held;
	double cpus;
	char why[256];			/* without a group: what stands in the way, and what would help */
};

/*
 * Makes the groups, named in the run's directory before they are there, and sets the limits. Groups that cannot be had are left out;
 * only `cpus` decides on an error later.
 */
void sup_cgroup_make(struct sup_cgroup *c, const struct sup_request *r, int run_dir);
/* The descriptor of the one group of v2, for a child to be born in (CLONE_INTO_CGROUP); -1: v1 or none. */
int sup_cgroup_birthplace(const struct sup_cgroup *c);
/* In the child: moves itself in. -1: not all of them. */
int sup_cgroup_join(const struct sup_cgroup *c);
/* The number of kills by the kernel for want of memory in the group. */
uint64_t sup_cgroup_oom_kills(const struct sup_cgroup *c);
/* Whether the group's own limit of memory was reached: a kill may also be for want of memory further up. */
bool sup_cgroup_full(const struct sup_cgroup *c);
/* Seconds of CPU used so far by all that was ever in it; -1: not known. */
double sup_cgroup_cpu_time(const struct sup_cgroup *c);
/* At the guest's start: its quota begins to hold. A boot under a small one would take seconds, and count as throttled. */
void sup_cgroup_started(const struct sup_cgroup *c);
/* How many periods the guest was throttled in by its quota; -1: not known. */
int sup_cgroup_throttled(const struct sup_cgroup *c);
/* Sets the limit of memory anew, and what the quota will be from sup_cgroup_started on. */
void sup_cgroup_update(struct sup_cgroup *c, const struct sup_request *r);
/* Kills what may still be in there and removes them. false: something in one of them has not died in ten seconds. */
bool sup_cgroup_remove(struct sup_cgroup *c);
/* The same for the groups of a dead run: those of these paths (changed on the way) that bear its id. */
bool sup_cgroup_sweep(char *paths, const char *id);

#endif
