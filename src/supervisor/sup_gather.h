/* SPDX-License-Identifier: MIT
 *
 * sup_gather: brings runsc into its cgroups while it starts. Nothing can be born in a group of v1, and the first move of a while waits
 * for an RCU grace period, some 10 ms (cgroup_threadgroup_rwsem): runsc uses them to start. What it forks meanwhile is brought in
 * before its trace is answered, which it waits for before it makes the sandbox; what is born in a group stays there. So nothing that
 * the guest has a part in was ever outside. What was charged before (some MB of runsc's own, no process time of the guest's) stays
 * with the supervisor's group.
 */
#ifndef SUP_GATHER_H
#define SUP_GATHER_H

#include <stdbool.h>
#include <sys/types.h>

#include "sup_cgroup.h"
#include "sup_error.h"
#include "sup_request.h"

/* Whether runsc is moved by us: else it moves itself, or is born there. Only root of the machine may move whatever runsc becomes. */
bool sup_gather_can(const struct sup_cgroup *c, const struct sup_request *r);
/* Moves a child of ours into all groups. One that has ended is in. -1: it is outside of one, and must be killed. */
int sup_gather_child(const struct sup_cgroup *c, pid_t child, struct sup_error *e);
/* Moves all that descends from us into all groups, until the kernel lists them all. -1: something is outside. */
int sup_gather_all(const struct sup_cgroup *c, struct sup_error *e);

#endif
