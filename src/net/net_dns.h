/* SPDX-License-Identifier: MIT
 *
 * net_dns: a guest's question read, an answer written (RFC 1035, RFC 6891). Pure: bytes in, bytes out. What a guest sends is
 * hostile: one question, no compression in it, names of ASCII letters, digits, `-` and `_` alone.
 */
#ifndef NET_DNS_H
#define NET_DNS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#define NET_DNS_MAX 512u	/* a query or an answer of ours; more is never needed */
#define NET_NAME_MAX 254u	/* with the NUL */

enum net_dns_code { NET_DNS_OK = 0, NET_DNS_FORMERR = 1, NET_DNS_SERVFAIL = 2, NET_DNS_NXDOMAIN = 3, NET_DNS_NOTIMP = 4 };
enum net_dns_type { NET_DNS_A = 1, NET_DNS_AAAA = 28 };

struct net_question {
	char name[NET_NAME_MAX];	/* lower case, no dot at the end */
	uint16_t id, type;
	uint16_t length;		/* bytes of the question section, from the header's end on */
	uint8_t recursion;		/* the RD bit, given back */
};

/*
 * Reads a query. NET_DNS_OK, or the code to answer with: net_dns_answer works in each case. -1: nothing is to be answered (too
 * short, or an answer itself).
 */
int net_dns_read(const unsigned char *packet, size_t n, struct net_question *q);

/*
 * Writes the answer to a query that net_dns_read took or refused: with address, one A record of ttl seconds, else none. Its
 * length, at most NET_DNS_MAX.
 */
size_t net_dns_answer(unsigned char out[NET_DNS_MAX], const unsigned char *packet, const struct net_question *q, int code,
		      const struct in_addr *address, uint32_t ttl);

#endif
