/* SPDX-License-Identifier: MIT */
#include "net_dns.h"

#include <stdbool.h>
#include <string.h>

#define HEADER 12u
#define FLAG_ANSWER 0x8000u
#define FLAG_OPCODE 0x7800u
#define FLAG_RECURSION 0x0100u
#define FLAG_AVAILABLE 0x0080u
#define CLASS_IN 1u

static uint16_t get16(const unsigned char *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(unsigned char *p, unsigned value)
{
	p[0] = (unsigned char)(value >> 8);
	p[1] = (unsigned char)value;
}

static bool name_char(unsigned char *c)
{
	if (*c >= 'A' && *c <= 'Z')
		*c = (unsigned char)(*c - 'A' + 'a');
	return (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || *c == '-' || *c == '_';
}

/* The name's bytes in the packet, 0 where it is none that we take. */
static size_t read_name(const unsigned char *p, size_t n, char out[NET_NAME_MAX])
{
	size_t at = 0, len = 0;

	while (at < n && p[at]) {
		size_t label = p[at++];

		if (label > 63 || label >= n - at || len + label + 1 >= NET_NAME_MAX)
			return 0;
		if (len)
			out[len++] = '.';
		for (size_t i = 0; i < label; i++) {
			unsigned char c = p[at + i];

			if (!name_char(&c))
				return 0;
			out[len++] = (char)c;
		}
		at += label;
	}
	out[len] = '\0';
	return at < n ? at + 1 : 0;
}

int net_dns_read(const unsigned char *packet, size_t n, struct net_question *q)
{
	memset(q, 0, sizeof(*q));
	if (n < HEADER || get16(packet + 2) & FLAG_ANSWER)
		return -1;
	q->id = get16(packet);
	q->recursion = (get16(packet + 2) & FLAG_RECURSION) != 0;
	if (get16(packet + 2) & FLAG_OPCODE)
		return NET_DNS_NOTIMP;
	if (n > NET_DNS_MAX || get16(packet + 4) != 1 || get16(packet + 6) || get16(packet + 8) || get16(packet + 10) > 1)
		return NET_DNS_FORMERR;
	size_t name = read_name(packet + HEADER, n - HEADER, q->name);

	if (!name || n - HEADER - name < 4)
		return NET_DNS_FORMERR;
	q->length = (uint16_t)(name + 4);
	q->type = get16(packet + HEADER + name);
	return get16(packet + HEADER + name + 2) == CLASS_IN ? NET_DNS_OK : NET_DNS_NOTIMP;
}

size_t net_dns_answer(unsigned char out[NET_DNS_MAX], const unsigned char *packet, const struct net_question *q, int code,
		      const struct in_addr *address, uint32_t ttl)
{
	size_t n = HEADER + q->length;
	bool found = address && q->length && n + 16 <= NET_DNS_MAX;

	memset(out, 0, HEADER);
	put16(out, q->id);
	put16(out + 2, FLAG_ANSWER | FLAG_AVAILABLE | (q->recursion ? FLAG_RECURSION : 0) | (unsigned)code);
	put16(out + 4, q->length != 0);
	put16(out + 6, found);
	memcpy(out + HEADER, packet + HEADER, q->length);
	if (!found)
		return n;
	put16(out + n, 0xc000 | HEADER);	/* the name of the question */
	put16(out + n + 2, NET_DNS_A);
	put16(out + n + 4, CLASS_IN);
	put16(out + n + 6, ttl >> 16);
	put16(out + n + 8, ttl & 0xffff);
	put16(out + n + 10, 4);
	memcpy(out + n + 12, address, 4);
	return n + 16;
}
