/* SPDX-License-Identifier: MIT
 *
 * net_report: what the supervisor is told. Counters lie in a page that both see, so that they are there whoever dies; events go
 * over the control socket, bounded, and are dropped and counted where nobody takes them. What comes in quick succession is told
 * together: each message wakes the supervisor and the host.
 */
#ifndef NET_REPORT_H
#define NET_REPORT_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "sbx_net.h"

struct net_report {
	int control;			/* SOCK_SEQPACKET; not owned */
	struct sbx_net_counters *counters;
	uint64_t next;			/* id of the next event */
	double told, told_at;		/* of SBX_NET_EVENTS, which come back with time; and since when that is so */
	char bytes[SBX_NET_TELL];	/* not told yet: */
	size_t n;
	unsigned records;
	double flushed;			/* when something was told last; monotonic */
};

#define NET_REPORT_RECORD 1024u	/* the longest */

struct net_event {
	const char *host;		/* NULL: it was a number */
	const struct in6_addr *address;	/* NULL: none was come to */
	uint16_t port;			/* 0: a question for a name */
	const char *reason;		/* NULL: allowed */
};

#define NET_REPORT_UNTOLD UINT64_MAX

/* Tells of a decision and counts it; what net_report_end takes. */
uint64_t net_report_event(struct net_report *r, const struct net_event *e);
/* The end of an allowed connection. */
void net_report_end(struct net_report *r, uint64_t id, uint64_t bytes_in, uint64_t bytes_out);
/* One word, with a text, at once: "ready", "policy", "error". */
void net_report_say(struct net_report *r, const char *word, const char *text);

/* Milliseconds until net_report_due is wanted, at most limit. */
int net_report_timeout(const struct net_report *r, int limit);
/* To be called after each turn: tells what waits, unless something was told a moment ago. */
void net_report_due(struct net_report *r);
/* Tells it now. */
void net_report_flush(struct net_report *r);

#endif
