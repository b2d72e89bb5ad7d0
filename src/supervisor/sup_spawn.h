/* SPDX-License-Identifier: MIT
 *
 * sup_spawn: starts runsc as the supervisor's child: inside its cgroups (sup_gather.h), with a clean environment, dying with us, and under
 * a seccomp filter that answers membarrier with ENOSYS (each Go process of a boot waits for it a whole RCU grace period).
 */
#ifndef SUP_SPAWN_H
#define SUP_SPAWN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sup_cgroup.h"
#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"

/* A child's exit status where it did not become runsc; runsc has none of these. */
#define SUP_SPAWN_NO_CGROUP 125
#define SUP_SPAWN_NO_EXEC 126

/* What a child of ours starts with; stdio are moved to 0, 1, 2 in the child and stay the caller's. */
struct sup_spawn {
	const struct sup_request *request;
	const struct sup_cgroup *cgroup;	/* NULL: stays where we are */
	bool gather;				/* it is moved there by us while it starts (sup_gather.h) */
	int stdio[3];				/* -1: /dev/null */
	int nice;				/* the priority to give back */
};

/* runsc's pid or -1. */
pid_t sup_spawn_run(const struct sup_spawn *s, const struct sup_dir *d, struct sup_error *e);
/* Starts any command line. */
pid_t sup_spawn_argv(const struct sup_spawn *s, char *const argv[], struct sup_error *e);
/* `runsc ARG...` itself. */
pid_t sup_spawn_tool(const struct sup_spawn *s, struct sup_error *e);
/* `runsc kill ID SIGNAL`: the one way to send any signal to the guest's first process. */
pid_t sup_spawn_kill(const struct sup_spawn *s, const struct sup_dir *d, int signo, struct sup_error *e);

/* Whether the cores that runsc is started on hold `cpus` without a quota: 0, or -1 where it is no whole number. */
int sup_spawn_affinity(double cpus);

#endif
