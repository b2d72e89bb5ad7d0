/* SPDX-License-Identifier: MIT
 *
 * net_link: the private link of one sandbox. Two network namespaces, the guest's, in which the caller is, and an edge, which is
 * made here; a veth pair between them. In the edge every address is local (a route of type local for all of them), and a rule
 * of nf_tables hands each TCP connection, whatever its address and port, to one listening socket (tproxy): getsockname of what
 * is accepted is what the guest asked for. No packet is ever forwarded, and nothing but the sockets keeps the edge alive.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include <stdbool.h>

/* Addresses of the link: IPv4's are the host's to say, by default a part of 198.18.0.0/15, which is nobody's (RFC 2544). Names get
 * theirs from above 198.19.0.0. */
#define NET_LINK_GUEST6 "fd53:6278:1::2"
#define NET_LINK_EDGE6 "fd53:6278:1::1"
#define NET_LINK_BITS6 64

enum net_socket { NET_SOCKET_TCP, NET_SOCKET_DNS, NET_SOCKET_DNS_TCP, NET_SOCKET_TCP6, NET_SOCKETS };

struct net_link {
	const char *guest, *edge;	/* IPv4, as text */
	unsigned bits;
	const unsigned char *mac;	/* of the guest's end; NULL: the kernel's choice */
	bool ipv6;
};

/*
 * Makes it, leaves the caller in the edge's namespace, and gives the sockets that listen there, the caller's (-1: no IPv6).
 * Needs CAP_SYS_ADMIN and CAP_NET_ADMIN in the user namespace that owns the guest's. -1: *what (static) failed, with errno.
 */
int net_link_make(const struct net_link *l, int sockets[NET_SOCKETS], const char **what);

#endif
