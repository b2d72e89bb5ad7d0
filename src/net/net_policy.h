/* SPDX-License-Identifier: MIT
 *
 * net_policy: where a guest may connect to. Pure. Addresses are IPv6 throughout: an IPv4 one is ::ffff:a.b.c.d, so that one that
 * is dressed as such is judged as what it is.
 *
 * A policy is text, as the host sent it: items "key=value", each ended by NUL.
 *   allow=RULE, deny=RULE   RULE is WHAT LOW-HIGH, WHAT one of name:example.org, under:example.org (names below it, not itself),
 *                           net:ADDRESS/BITS
 *   public=1                every public address, by number and by name
 *   connections=N           at once; bandwidth=N: bytes a second, both ways together, 0 for no bound
 */
#ifndef NET_POLICY_H
#define NET_POLICY_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net_dns.h"

#define NET_RULES_MAX 4096u
#define NET_CONNECTIONS_MAX 4096u

struct net_rule {
	enum { NET_RULE_NAME, NET_RULE_UNDER, NET_RULE_NET } kind;
	bool deny;
	uint16_t low, high;
	uint8_t bits;
	struct in6_addr net;
	char name[NET_NAME_MAX];
};

struct net_policy {
	struct net_rule *rules;
	size_t n;
	bool public;
	uint32_t connections;
	uint64_t bandwidth;
};

/* Why a connection is refused; NULL: it is not. Static text. */
typedef const char *net_verdict;

/* Reads a policy into an empty one; its owner calls net_policy_destroy in every case. -1: it is none, *why says what (static). */
int net_policy_read(struct net_policy *p, const char *text, size_t n, const char **why);
void net_policy_destroy(struct net_policy *p);

/* May it be asked for at all, whatever the port: what decides whether a name is answered. */
net_verdict net_policy_name(const struct net_policy *p, const char *name);
/* May this name be connected to at this port. Its addresses are still to be judged. */
net_verdict net_policy_name_port(const struct net_policy *p, const char *name, uint16_t port);
/*
 * May this address be connected to at this port. by_name: it is one of a name's that may be, so that a public one need not be
 * named; own: it is one of the host's own.
 */
net_verdict net_policy_address(const struct net_policy *p, const struct in6_addr *address, uint16_t port, bool by_name, bool own);

/* ::ffff:a.b.c.d */
void net_address_v4(struct in6_addr *out, struct in_addr in);
/* A global unicast address that belongs to nobody's own network (IANA's special-purpose registries). */
bool net_address_public(const struct in6_addr *a);
bool net_address_within(const struct in6_addr *a, const struct in6_addr *net, unsigned bits);

#endif
