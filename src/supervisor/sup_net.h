/* SPDX-License-Identifier: MIT
 *
 * sup_net: a run's sandbox-net (src/net, sbx_net.h): started before we leave the host's network namespace, given its link from
 * the guest's, listened to while the run lives, ended with it. Everything here is owned by the struct, from sup_net_init to
 * sup_net_destroy.
 */
#ifndef SUP_NET_H
#define SUP_NET_H

#include <stdbool.h>
#include <sys/types.h>

#include "sbx_net.h"
#include "sup_cgroup.h"
#include "sup_dir.h"
#include "sup_error.h"
#include "sup_host.h"
#include "sup_request.h"

struct sup_net {
	pid_t serve, link;	/* 0: not started */
	int control;		/* -1: no network of its own, or it has ended */
	int sockets;		/* what the link goes through */
	int words;		/* what `link` says */
	const struct sbx_net_counters *counters;	/* NULL: no network of its own */
	unsigned long long lost;	/* events that the host had no room for */
	bool failed;		/* it ended by itself */
};

void sup_net_init(struct sup_net *n);
/* Starts `sandbox-net serve`, inside the run's cgroups; its counters are a file of RUN, for those of the programs in a box. */
int sup_net_begin(struct sup_net *n, const struct sup_request *r, const struct sup_dir *d, const struct sup_cgroup *cgroup, struct sup_error *e);
/* In the guest's network and mount namespaces: begins to make the link, beside other preparations. */
int sup_net_link(struct sup_net *n, const struct sup_request *r, struct sup_error *e);
/* The words for a sandbox-net that ended before the guest began. -1. */
int sup_net_gone(struct sup_error *e);

/*
 * Waits, bounded, until the link is there and served; then the namespace has a name for runsc, RUN/m/netns, and older builds
 * do not see that it is not the first.
 */
int sup_net_ready(struct sup_net *n, const struct sup_dir *d, struct sup_error *e);
/* The counters of a sandbox, by its directory: RUN/net. NULL: it has no network of its own. Unmapped by sup_net_unmap. */
const struct sbx_net_counters *sup_net_map(int run);
void sup_net_unmap(const struct sbx_net_counters *c);
/* What was counted between two readings. */
struct sbx_net_counters sup_net_between(struct sbx_net_counters before, struct sbx_net_counters after);
/* Takes what it has told and passes it on to the host, as much as there is room for. */
void sup_net_read(struct sup_net *n, struct sup_host *h);
/* Another policy, from now on. -1: it has ended. */
int sup_net_policy(struct sup_net *n, const void *text, size_t len);
/* At the end: lets it tell the ends of its connections, bounded by a moment, and ends it. */
void sup_net_finish(struct sup_net *n, struct sup_host *h);
/* A child has been reaped: nothing is sent to its number any more. */
void sup_net_reaped(struct sup_net *n, pid_t pid);
/* Kills what still runs of it; its children are reaped with all others. */
void sup_net_destroy(struct sup_net *n);

#endif
