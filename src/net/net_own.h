/* SPDX-License-Identifier: MIT
 *
 * net_own: the addresses of the host that we are on, which are nobody's public ones, whatever they look like.
 */
#ifndef NET_OWN_H
#define NET_OWN_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

/* All zero: none is known yet. */
struct net_own {
	struct in6_addr *list;
	size_t n;
	double looked;	/* when they were last asked for, monotonic; 0: never */
};

/* Whether it is one. They are looked up now and then; while they cannot be known, every address may be one. */
bool net_own_has(struct net_own *o, const struct in6_addr *a);
void net_own_destroy(struct net_own *o);

#endif
