/* SPDX-License-Identifier: MIT
 *
 * sup_cgroup_part: what the parts of sup_cgroup share: what the two versions do differently (sup_cgroup_v1.c, sup_cgroup_v2.c),
 * where a hierarchy is and why a group cannot be had (sup_cgroup_find.c).
 */
#ifndef SUP_CGROUP_PART_H
#define SUP_CGROUP_PART_H

#include <stddef.h>

#include "sup_cgroup.h"

#define SUP_CGROUP_NAME "lua-sandbox-"

/* The functions below `make` are only called where the group of their controller is there. */
struct sup_cgroup_part {
	enum sup_cgroup_version version;
	/* Makes what groups there can be; none, and c->why, else. */
	void (*make)(struct sup_cgroup *c, const struct sup_request *r);
	void (*set_memory)(const struct sup_cgroup *c, unsigned long long bytes);
	int (*set_quota)(const struct sup_cgroup *c, long us);	/* of each 100 ms; 0: no quota */
	uint64_t (*oom_kills)(const struct sup_cgroup *c);
	bool (*full)(const struct sup_cgroup *c);		/* whether its own limit of memory was ever reached */
	double (*cpu_time)(const struct sup_cgroup *c);		/* seconds, -1: not known */
};

extern const struct sup_cgroup_part sup_cgroup_v1, sup_cgroup_v2;

/* Makes this run's group below a directory, or finds the one that is there; its index, or -1 and c->why. */
int sup_cgroup_add(struct sup_cgroup *c, const char *parent, const char *id);
/* Takes the last one back. */
void sup_cgroup_drop(struct sup_cgroup *c);
int sup_cgroup_write(int dir, const char *name, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* The number behind a key of a flat-keyed file; 0 when there is none. */
uint64_t sup_cgroup_keyed(int dir, const char *file, const char *key);

/* Whether a group of v1 has reached its own limit of memory. */
bool sup_cgroup_reached(int dir);

/* Notes the first thing that stood in the way; always -1. */
int sup_cgroup_because(struct sup_cgroup *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* What an errno of the cgroup file system means to a person (measured on v1 and v2). */
const char *sup_cgroup_remedy(int error);
/* The path of the calling process in a hierarchy: "memory" of v1, "" of v2. -1: it is in none. */
int sup_cgroup_own_path(const char *controller, char *out, size_t size);
/* Where a hierarchy is mounted. -1: nowhere. */
int sup_cgroup_mount_point(const char *controller, char *out, size_t size);
/*
 * v2: whether a group, or one above it, has a limit of memory, CPU, processors or processes; `limit`: the file that says so. `point`: where
 * the hierarchy is mounted, `own`: the group's path in it, "" of the one at the top.
 */
bool sup_cgroup_bound(const char *point, const char *own, char *limit, size_t size);
/* v2: whether a group, or one above it, was handed to who is in it, as systemd marks it (Delegate=). */
bool sup_cgroup_given(const char *point, const char *own);

#endif
