/* SPDX-License-Identifier: MIT */
#include "net_policy.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "sbx_wire.h"

void net_address_v4(struct in6_addr *out, struct in_addr in)
{
	memset(out, 0, sizeof(*out));
	out->s6_addr[10] = out->s6_addr[11] = 0xff;
	memcpy(out->s6_addr + 12, &in, 4);
}

bool net_address_within(const struct in6_addr *a, const struct in6_addr *net, unsigned bits)
{
	unsigned bytes = bits / 8, rest = bits % 8;

	if (memcmp(a->s6_addr, net->s6_addr, bytes) != 0)
		return false;
	return !rest || ((a->s6_addr[bytes] ^ net->s6_addr[bytes]) >> (8 - rest)) == 0;
}

/*
 * Not public: IANA's special-purpose address registries for IPv4 (RFC 6890 and its updates) and IPv6, multicast and what is
 * reserved. Whatever embeds an IPv4 address (6to4, Teredo, NAT64) could reach one by another name.
 */
static const char *const special[][2] = {
	{ "0.0.0.0", "8" }, { "10.0.0.0", "8" }, { "100.64.0.0", "10" }, { "127.0.0.0", "8" }, { "169.254.0.0", "16" },
	{ "172.16.0.0", "12" }, { "192.0.0.0", "24" }, { "192.0.2.0", "24" }, { "192.88.99.0", "24" }, { "192.168.0.0", "16" },
	{ "198.18.0.0", "15" }, { "198.51.100.0", "24" }, { "203.0.113.0", "24" }, { "224.0.0.0", "4" }, { "240.0.0.0", "4" },
	{ "2001::", "23" }, { "2001:db8::", "32" }, { "2002::", "16" }, { "3fff::", "20" },
};

/* ADDRESS of either family; the family's bits are the first of how many. */
static int read_address(const char *text, struct in6_addr *out, unsigned *family_bits)
{
	struct in_addr v4;

	*family_bits = 0;
	if (inet_pton(AF_INET, text, &v4) == 1) {
		net_address_v4(out, v4);
		*family_bits = 96;
		return 0;
	}
	return inet_pton(AF_INET6, text, out) == 1 ? 0 : -1;
}

bool net_address_public(const struct in6_addr *a)
{
	struct in6_addr net;
	unsigned first;

	/* Of IPv6 only 2000::/3 is given out. */
	if (!IN6_IS_ADDR_V4MAPPED(a) && (a->s6_addr[0] & 0xe0) != 0x20)
		return false;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (read_address(special[i][0], &net, &first) == 0 &&
		    net_address_within(a, &net, first + (unsigned)atoi(special[i][1])))
			return false;
	return true;
}

/* A whole number up to max, ended by stop. */
static int read_number(const char **at, char stop, unsigned long long max, unsigned long long *out)
{
	char *end;

	if (**at < '0' || **at > '9')
		return -1;
	errno = 0;
	*out = strtoull(*at, &end, 10);
	if (errno || *end != stop || *out > max)
		return -1;
	*at = end + (stop != '\0');
	return 0;
}

static int read_name(const char *text, char out[NET_NAME_MAX])
{
	size_t n = strlen(text), label = 0;

	if (!n || n >= NET_NAME_MAX)
		return -1;
	for (size_t i = 0; i <= n; i++) {
		char c = text[i];

		if (c == '.' || c == '\0') {
			if (!label || label > 63)
				return -1;
			label = 0;
		} else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_') {
			label++;
		} else {
			return -1;
		}
	}
	memcpy(out, text, n + 1);
	return 0;
}

static int read_net(struct net_rule *r, char *text)
{
	char *slash = strchr(text, '/');
	const char *bits = slash ? slash + 1 : "";
	unsigned long long n;
	unsigned first;

	if (!slash)
		return -1;
	*slash = '\0';
	if (read_address(text, &r->net, &first) < 0 || read_number(&bits, '\0', 128 - first, &n) < 0)
		return -1;
	r->bits = (uint8_t)(first + n);
	return 0;
}

static int read_rule(struct net_rule *r, const char *value)
{
	char text[NET_NAME_MAX + 8];
	const char *ports = strchr(value, ' ');
	size_t n = ports ? (size_t)(ports - value) : 0;
	unsigned long long low, high;

	if (!ports || n >= sizeof(text))
		return -1;
	memcpy(text, value, n);
	text[n] = '\0';
	ports++;
	if (read_number(&ports, '-', 65535, &low) < 0 || read_number(&ports, '\0', 65535, &high) < 0 || !low || low > high)
		return -1;
	r->low = (uint16_t)low;
	r->high = (uint16_t)high;
	if (!strncmp(text, "name:", 5)) {
		r->kind = NET_RULE_NAME;
		return read_name(text + 5, r->name);
	}
	if (!strncmp(text, "under:", 6)) {
		r->kind = NET_RULE_UNDER;
		return read_name(text + 6, r->name);
	}
	r->kind = NET_RULE_NET;
	return strncmp(text, "net:", 4) ? -1 : read_net(r, text + 4);
}

static int add_rule(struct net_policy *p, const char *value, bool deny)
{
	struct net_rule *more;

	if (p->n == NET_RULES_MAX)
		return -1;
	if (!(p->n & (p->n + 1))) {	/* at 0, 1, 3, 7, … */
		more = realloc(p->rules, (2 * p->n + 1) * sizeof(*more));
		if (!more)
			return -1;
		p->rules = more;
	}
	memset(&p->rules[p->n], 0, sizeof(*more));
	p->rules[p->n].deny = deny;
	return read_rule(&p->rules[p->n++], value);
}

static int read_item(struct net_policy *p, const char *key, size_t klen, const char *value)
{
	unsigned long long n;
	bool deny = sbx_wire_is_key("deny", key, klen);

	if (deny || sbx_wire_is_key("allow", key, klen))
		return add_rule(p, value, deny);
	if (sbx_wire_is_key("public", key, klen)) {
		p->public = !strcmp(value, "1");
		return 0;
	}
	if (sbx_wire_is_key("connections", key, klen)) {
		if (read_number(&value, '\0', NET_CONNECTIONS_MAX, &n) < 0 || !n)
			return -1;
		p->connections = (uint32_t)n;
		return 0;
	}
	if (klen != 9 || memcmp(key, "bandwidth", 9) != 0 || read_number(&value, '\0', UINT64_MAX, &n) < 0)
		return -1;
	p->bandwidth = n;
	return 0;
}

int net_policy_read(struct net_policy *p, const char *text, size_t n, const char **why)
{
	const char *key, *value;
	size_t pos = 0, klen;
	int rc;

	memset(p, 0, sizeof(*p));
	p->connections = 128;
	*why = "a policy's rule is none";
	while ((rc = sbx_wire_next_item(text, n, &pos, &key, &klen, &value)) > 0)
		if (read_item(p, key, klen, value) < 0)
			return -1;
	return rc;
}

void net_policy_destroy(struct net_policy *p)
{
	free(p->rules);
	memset(p, 0, sizeof(*p));
}

static bool names(const struct net_rule *r, const char *name)
{
	size_t n = strlen(name), suffix = strlen(r->name);

	if (r->kind == NET_RULE_NAME)
		return !strcmp(name, r->name);
	return r->kind == NET_RULE_UNDER && n > suffix + 1 && name[n - suffix - 1] == '.' && !strcmp(name + n - suffix, r->name);
}

static bool at_port(const struct net_rule *r, uint16_t port)
{
	return port >= r->low && port <= r->high;
}

/* Some rule of this sort for the name; port 0: of any port to allow, of all ports to deny. */
static bool find_name(const struct net_policy *p, const char *name, uint16_t port, bool deny)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct net_rule *r = &p->rules[i];

		if (r->deny == deny && names(r, name) &&
		    (port ? at_port(r, port) : !deny || (r->low == 1 && r->high == 65535)))
			return true;
	}
	return false;
}

static bool find_address(const struct net_policy *p, const struct in6_addr *a, uint16_t port, bool deny)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct net_rule *r = &p->rules[i];

		if (r->deny == deny && r->kind == NET_RULE_NET && at_port(r, port) && net_address_within(a, &r->net, r->bits))
			return true;
	}
	return false;
}

static net_verdict judge_name(const struct net_policy *p, const char *name, uint16_t port)
{
	if (find_name(p, name, port, true))
		return "denied by name";
	return p->public || find_name(p, name, port, false) ? NULL : "name not allowed";
}

net_verdict net_policy_name(const struct net_policy *p, const char *name)
{
	return judge_name(p, name, 0);
}

net_verdict net_policy_name_port(const struct net_policy *p, const char *name, uint16_t port)
{
	net_verdict why = judge_name(p, name, port);

	return why && !net_policy_name(p, name) ? "port not allowed" : why;
}

net_verdict net_policy_address(const struct net_policy *p, const struct in6_addr *a, uint16_t port, bool by_name, bool own)
{
	if (find_address(p, a, port, true))
		return "denied by address";
	if (find_address(p, a, port, false))
		return NULL;
	if (own)
		return "an address of the host's own";
	if (!net_address_public(a))
		return "not a public address";
	return by_name || p->public ? NULL : "address not allowed";
}
