/* SPDX-License-Identifier: MIT
 *
 * net_nft: the rule of a link's edge: every TCP connection that comes over it, but for questions to the edge's own resolver, is
 * handed to one port (nf_tables, tproxy).
 */
#ifndef NET_NFT_H
#define NET_NFT_H

#include <stdbool.h>

#define NET_NFT_PORT 1080

/*
 * In the network namespace that we are in. Port 53 of `edge`, an IPv4 address as text, is left to whoever listens there. -1: *what
 * (static) failed, with errno.
 */
int net_nft_take_all(const char *interface, const char *edge, bool ipv6, const char **what);

#endif
