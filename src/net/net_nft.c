/* SPDX-License-Identifier: MIT */
#include "net_nft.h"

#include <arpa/inet.h>
#include <errno.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/rule.h>
#include <libnftnl/table.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define TABLE "sandbox"
#define CHAIN "all"
#define BATCH 8192
#define PRIORITY_MANGLE (-150)

static int add(struct nftnl_rule *r, struct nftnl_expr *e)
{
	if (!e)
		return -1;
	nftnl_rule_add_expr(r, e);
	return 0;
}

/* The register's first bytes are, or are not, these. */
static int compare(struct nftnl_rule *r, uint32_t op, const void *bytes, uint32_t n)
{
	struct nftnl_expr *e = nftnl_expr_alloc("cmp");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_SREG, NFT_REG_1);
		nftnl_expr_set_u32(e, NFTNL_EXPR_CMP_OP, op);
		nftnl_expr_set(e, NFTNL_EXPR_CMP_DATA, bytes, n);
	}
	return add(r, e);
}

static int load_meta(struct nftnl_rule *r, uint32_t key)
{
	struct nftnl_expr *e = nftnl_expr_alloc("meta");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_KEY, key);
		nftnl_expr_set_u32(e, NFTNL_EXPR_META_DREG, NFT_REG_1);
	}
	return add(r, e);
}

static int immediate(struct nftnl_rule *r, uint32_t reg, const void *bytes, uint32_t n)
{
	struct nftnl_expr *e = nftnl_expr_alloc("immediate");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, reg);
		nftnl_expr_set(e, NFTNL_EXPR_IMM_DATA, bytes, n);
	}
	return add(r, e);
}

static int load_header(struct nftnl_rule *r, uint32_t base, uint32_t offset, uint32_t n)
{
	struct nftnl_expr *e = nftnl_expr_alloc("payload");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_BASE, base);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_OFFSET, offset);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_LEN, n);
		nftnl_expr_set_u32(e, NFTNL_EXPR_PAYLOAD_DREG, NFT_REG_1);
	}
	return add(r, e);
}

static int tproxy(struct nftnl_rule *r, uint32_t family)
{
	struct nftnl_expr *e = nftnl_expr_alloc("tproxy");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_FAMILY, family);
		nftnl_expr_set_u32(e, NFTNL_EXPR_TPROXY_REG_PORT, NFT_REG_2);
	}
	return add(r, e);
}

static int accept_it(struct nftnl_rule *r)
{
	struct nftnl_expr *e = nftnl_expr_alloc("immediate");

	if (e) {
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_DREG, NFT_REG_VERDICT);
		nftnl_expr_set_u32(e, NFTNL_EXPR_IMM_VERDICT, NF_ACCEPT);
	}
	return add(r, e);
}

static struct nftnl_rule *new_rule(const char *interface, uint32_t family)
{
	struct nftnl_rule *r = nftnl_rule_alloc();
	char name[IFNAMSIZ] = { 0 };
	uint8_t tcp = IPPROTO_TCP;

	if (!r)
		return NULL;
	(void)strncpy(name, interface, sizeof(name) - 1);
	nftnl_rule_set_str(r, NFTNL_RULE_TABLE, TABLE);
	nftnl_rule_set_str(r, NFTNL_RULE_CHAIN, CHAIN);
	nftnl_rule_set_u32(r, NFTNL_RULE_FAMILY, family);
	if (load_meta(r, NFT_META_IIFNAME) == 0 && compare(r, NFT_CMP_EQ, name, sizeof(name)) == 0 &&
	    load_meta(r, NFT_META_L4PROTO) == 0 && compare(r, NFT_CMP_EQ, &tcp, 1) == 0)
		return r;
	nftnl_rule_free(r);
	return NULL;
}

/* iifname "edge0" meta l4proto tcp ip daddr EDGE tcp dport 53 accept: questions to our own resolver, and to no other, are not forwarded */
static struct nftnl_rule *spare_resolver(const char *interface, const char *edge)
{
	struct nftnl_rule *r = new_rule(interface, NFPROTO_IPV4);
	struct in_addr address = { 0 };
	uint16_t dns = htons(53);

	(void)inet_pton(AF_INET, edge, &address);
	if (r && (load_header(r, NFT_PAYLOAD_NETWORK_HEADER, offsetof(struct iphdr, daddr), 4) < 0 || compare(r, NFT_CMP_EQ, &address, 4) < 0 ||
		  load_header(r, NFT_PAYLOAD_TRANSPORT_HEADER, offsetof(struct tcphdr, th_dport), 2) < 0 || compare(r, NFT_CMP_EQ, &dns, 2) < 0 ||
		  accept_it(r) < 0)) {
		nftnl_rule_free(r);
		r = NULL;
	}
	return r;
}

/* iifname "edge0" meta l4proto tcp tproxy to :1080 accept */
static struct nftnl_rule *take_others(const char *interface, uint32_t family)
{
	struct nftnl_rule *r = new_rule(interface, family);
	uint16_t port = htons(NET_NFT_PORT);

	if (r && (immediate(r, NFT_REG_2, &port, 2) < 0 || tproxy(r, family) < 0 || accept_it(r) < 0)) {
		nftnl_rule_free(r);
		r = NULL;
	}
	return r;
}

static struct nlmsghdr *begin(struct mnl_nlmsg_batch *b, uint16_t type, uint32_t family, uint16_t flags, uint32_t seq)
{
	return nftnl_nlmsg_build_hdr(mnl_nlmsg_batch_current(b), type, (uint16_t)family, flags, seq);
}

static void put_table(struct mnl_nlmsg_batch *b, struct nftnl_table *t, uint32_t family, uint32_t *seq)
{
	nftnl_table_set_str(t, NFTNL_TABLE_NAME, TABLE);
	nftnl_table_nlmsg_build_payload(begin(b, NFT_MSG_NEWTABLE, family, NLM_F_CREATE, (*seq)++), t);
	(void)mnl_nlmsg_batch_next(b);
}

static void put_chain(struct mnl_nlmsg_batch *b, struct nftnl_chain *c, uint32_t family, uint32_t *seq)
{
	nftnl_chain_set_str(c, NFTNL_CHAIN_TABLE, TABLE);
	nftnl_chain_set_str(c, NFTNL_CHAIN_NAME, CHAIN);
	nftnl_chain_set_str(c, NFTNL_CHAIN_TYPE, "filter");
	nftnl_chain_set_u32(c, NFTNL_CHAIN_HOOKNUM, NF_INET_PRE_ROUTING);
	nftnl_chain_set_s32(c, NFTNL_CHAIN_PRIO, PRIORITY_MANGLE);
	nftnl_chain_nlmsg_build_payload(begin(b, NFT_MSG_NEWCHAIN, family, NLM_F_CREATE, (*seq)++), c);
	(void)mnl_nlmsg_batch_next(b);
}

static int put_rule(struct mnl_nlmsg_batch *b, struct nftnl_rule *r, uint32_t family, uint32_t *seq)
{
	if (!r)
		return -1;
	nftnl_rule_nlmsg_build_payload(begin(b, NFT_MSG_NEWRULE, family, NLM_F_CREATE | NLM_F_APPEND | NLM_F_ACK, (*seq)++), r);
	(void)mnl_nlmsg_batch_next(b);
	nftnl_rule_free(r);
	return 0;
}

/* edge NULL: no resolver is asked over this family. */
static int put_family(struct mnl_nlmsg_batch *b, const char *interface, const char *edge, uint32_t family, uint32_t *seq)
{
	struct nftnl_table *t = nftnl_table_alloc();
	struct nftnl_chain *c = nftnl_chain_alloc();
	int rc = -1;

	if (t && c) {
		put_table(b, t, family, seq);
		put_chain(b, c, family, seq);
		if (!edge || put_rule(b, spare_resolver(interface, edge), family, seq) == 0)
			rc = put_rule(b, take_others(interface, family), family, seq);
	}
	if (t)
		nftnl_table_free(t);
	if (c)
		nftnl_chain_free(c);
	return rc;
}

/* A batch is done or not done as a whole; each rule is acknowledged, or the first error told. */
static int send_batch(struct mnl_socket *nl, struct mnl_nlmsg_batch *b, unsigned acks)
{
	char reply[BATCH];

	if (mnl_socket_sendto(nl, mnl_nlmsg_batch_head(b), mnl_nlmsg_batch_size(b)) < 0)
		return -1;
	while (acks) {
		ssize_t n = mnl_socket_recvfrom(nl, reply, sizeof(reply));

		if (n < 0 || mnl_cb_run(reply, (size_t)n, 0, mnl_socket_get_portid(nl), NULL, NULL) < 0)
			return -1;
		acks--;
	}
	return 0;
}

int net_nft_take_all(const char *interface, const char *edge, bool ipv6, const char **what)
{
	static char buf[2 * BATCH];
	struct mnl_socket *nl = mnl_socket_open(NETLINK_NETFILTER);
	struct mnl_nlmsg_batch *b = mnl_nlmsg_batch_start(buf, BATCH);
	uint32_t seq = 1;
	int rc = -1;

	*what = "redirect connections with nf_tables (modules nf_tables and nft_tproxy)";
	if (nl && b && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0) {
		(void)nftnl_batch_begin(mnl_nlmsg_batch_current(b), seq++);
		(void)mnl_nlmsg_batch_next(b);
		if (put_family(b, interface, edge, NFPROTO_IPV4, &seq) == 0 &&
		    (!ipv6 || put_family(b, interface, NULL, NFPROTO_IPV6, &seq) == 0)) {
			(void)nftnl_batch_end(mnl_nlmsg_batch_current(b), seq++);
			(void)mnl_nlmsg_batch_next(b);
			rc = send_batch(nl, b, ipv6 ? 3 : 2);
		}
	}
	if (b)
		mnl_nlmsg_batch_stop(b);
	if (nl)
		(void)mnl_socket_close(nl);
	return rc;
}
