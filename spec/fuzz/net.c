/* SPDX-License-Identifier: MIT
 *
 * sandbox-net's parsers, of questions for names and of policies: the first byte says which.
 */
#include <stdlib.h>
#include <string.h>

#include "net_dns.h"
#include "net_policy.h"

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n);

int LLVMFuzzerTestOneInput(const unsigned char *bytes, size_t n)
{
	unsigned char out[NET_DNS_MAX];
	struct in_addr address = { .s_addr = 1 };
	struct in6_addr a = IN6ADDR_LOOPBACK_INIT;
	struct net_question q;
	struct net_policy p;
	const char *why;

	if (!n)
		return 0;
	if (bytes[0] & 1) {
		int code = net_dns_read(bytes + 1, n - 1, &q);

		if (code >= 0 && (strlen(q.name) >= NET_NAME_MAX || net_dns_answer(out, bytes + 1, &q, code, &address, 30) > NET_DNS_MAX))
			abort();
		return 0;
	}
	if (net_policy_read(&p, (const char *)bytes + 1, n - 1, &why) == 0) {
		(void)net_policy_name_port(&p, "www.example.org", 443);
		/* The loopback is nobody's by chance: a rule names it, or it is refused. */
		if (!p.n && !net_policy_address(&p, &a, 80, true, false))
			abort();
	}
	net_policy_destroy(&p);
	return 0;
}
