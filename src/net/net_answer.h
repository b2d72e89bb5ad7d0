/* SPDX-License-Identifier: MIT
 *
 * net_answer: the guest's questions for names, over UDP and TCP, answered by policy and by what the host's resolver says. What
 * is not allowed does not exist: it is answered at once.
 */
#ifndef NET_ANSWER_H
#define NET_ANSWER_H

#include "net_loop.h"
#include "net_names.h"
#include "net_policy.h"
#include "net_report.h"

#define NET_ANSWER_STREAMS 8u	/* questions over TCP at once */

struct net_stream {
	struct net_watch watch;
	unsigned char in[2 + NET_DNS_MAX];
	size_t n;
	double deadline;
};

struct net_answer {
	struct net_loop *loop;
	struct net_names *names;
	const struct net_policy *policy;
	struct net_report *report;
	struct net_watch udp, listener;
	struct net_stream stream[NET_ANSWER_STREAMS];
	unsigned waiting;
};

/* The sockets are taken over. */
void net_answer_init(struct net_answer *a, int udp, int tcp);
void net_answer_destroy(struct net_answer *a);
/* Gives up questions over TCP that take too long. */
void net_answer_due(struct net_answer *a);

#endif
