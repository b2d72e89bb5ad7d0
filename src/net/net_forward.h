/* SPDX-License-Identifier: MIT
 *
 * net_forward: the guest's TCP connections, each accepted at the link's edge, judged, and joined to one that is made from the
 * host's network namespace. Bounded: connections at once, 64 KiB each way of each, bytes a second.
 */
#ifndef NET_FORWARD_H
#define NET_FORWARD_H

#include "net_loop.h"
#include "net_names.h"
#include "net_own.h"
#include "net_policy.h"
#include "net_report.h"
#include "net_way.h"

struct net_connection;

struct net_forward {
	struct net_loop *loop;
	struct net_names *names;
	const struct net_policy *policy;
	struct net_report *report;
	struct net_pipe pipe;		/* its owner's from net_forward_init on; made before the jail */
	struct net_watch listener[2];	/* IPv4, IPv6 */
	struct net_connection *live, *dead;
	uint32_t count;
	double budget, refilled;	/* bytes that may still pass, and since when that is so */
	struct net_own own;
	uint32_t most;			/* connections that there are descriptors for */
	double resting;			/* until when nothing is accepted, for the kernel has no descriptor to give; 0: no */
	double short_since;		/* since when there are bytes that may not pass; 0: there are none */
};

/* The listening sockets are taken over (-1: none). */
void net_forward_init(struct net_forward *f, int tcp, int tcp6);
void net_forward_destroy(struct net_forward *f);

/* Ends what the policy of now does not allow any more. */
void net_forward_judge_all(struct net_forward *f);

/* Milliseconds until net_forward_due is wanted, at most limit. */
int net_forward_timeout(const struct net_forward *f, int limit);
/* Lets bytes pass again, gives up connections that take too long, frees what has ended. To be called after each turn. */
void net_forward_due(struct net_forward *f);

#endif
