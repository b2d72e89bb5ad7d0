/* SPDX-License-Identifier: MIT
 *
 * net_names: names that the guest has asked for. Each has an address of ours in the guest (198.19.0.0 and up), so that a
 * connection tells the name that was meant; what the name really is is asked of the host's resolver, by c-ares, which never waits.
 */
#ifndef NET_NAMES_H
#define NET_NAMES_H

#include <ares.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "net_dns.h"
#include "net_loop.h"

#define NET_NAMES 1024u		/* known at once: the oldest makes room */
#define NET_NAME_ADDRESSES 8u
#define NET_NAME_WAITERS 256u	/* over all names */

enum net_name_state { NET_NAME_UNKNOWN, NET_NAME_ASKED, NET_NAME_FOUND, NET_NAME_MISSING, NET_NAME_FAILED };

struct net_name {
	char name[NET_NAME_MAX];
	uint16_t slot;			/* the last 16 bits of its address */
	enum net_name_state state;
	double until;			/* monotonic: found, missing and failed are good for so long */
	struct in6_addr address[NET_NAME_ADDRESSES];
	unsigned n;
	struct net_names *all;
};

/* Who waits for a name: owned by the one that waits, who calls net_names_forget if it goes first. */
struct net_waiter {
	struct net_waiter *next;
	struct net_name *name;		/* NULL: waits no more */
	void (*known)(struct net_waiter *w, const struct net_name *name);
};

struct net_names {
	struct net_loop *loop;
	ares_channel channel;
	bool ready;
	struct net_name *list[NET_NAMES];
	uint16_t next;
	struct net_waiter *waiters;
	unsigned waiting;
	struct net_watch sockets[16];	/* c-ares' */
};

/* resolver: "ADDRESS:PORT" instead of the host's, or NULL. -1: c-ares cannot begin. */
int net_names_init(struct net_names *n, struct net_loop *loop, const char *resolver);
void net_names_destroy(struct net_names *n);

/* Milliseconds until c-ares wants net_names_due; at most limit. */
int net_names_timeout(const struct net_names *n, int limit);
void net_names_due(struct net_names *n);

/*
 * Asks for a name, unless it is known: `known` is called in each case, perhaps at once, with what it is then (ASKED only where
 * the waiters' number is spent).
 */
void net_names_ask(struct net_names *n, const char *name, struct net_waiter *w);
void net_names_forget(struct net_names *n, struct net_waiter *w);

/* The name that an address of ours stands for; NULL: it is none of ours, or forgotten. */
struct net_name *net_names_at(const struct net_names *n, const struct in6_addr *address);
bool net_names_ours(const struct in6_addr *address);
struct in_addr net_names_address(const struct net_name *name);

#endif
