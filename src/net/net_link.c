/* SPDX-License-Identifier: MIT */
#include "net_link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net_nft.h"

#define GUEST_NAME "eth0"
#define EDGE_NAME "edge0"
#define MESSAGE 4096
#define MTU 65520u		/* as much as the loopback's: a packet costs the same whatever is in it */
#define BACKLOG 256

/* One request, acknowledged. */
static int talk(struct mnl_socket *nl, struct nlmsghdr *h)
{
	char reply[MESSAGE];
	ssize_t n;

	h->nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	h->nlmsg_seq = 1;
	if (mnl_socket_sendto(nl, h, h->nlmsg_len) < 0)
		return -1;
	n = mnl_socket_recvfrom(nl, reply, sizeof(reply));
	return n < 0 ? -1 : mnl_cb_run(reply, (size_t)n, 1, mnl_socket_get_portid(nl), NULL, NULL) < 0 ? -1 : 0;
}

static struct nlmsghdr *message(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(buf);

	h->nlmsg_type = type;
	h->nlmsg_flags = flags;
	return h;
}

/* The pair: one end here, named as the guest's, the other in the namespace of that descriptor. */
static int make_pair(struct mnl_socket *guest, int edge_ns, const unsigned char *mac)
{
	char buf[MESSAGE];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, GUEST_NAME);
	mnl_attr_put_u32(h, IFLA_MTU, MTU);
	if (mac)
		mnl_attr_put(h, IFLA_ADDRESS, 6, mac);
	struct nlattr *info = mnl_attr_nest_start(h, IFLA_LINKINFO);

	mnl_attr_put_strz(h, IFLA_INFO_KIND, "veth");
	struct nlattr *data = mnl_attr_nest_start(h, IFLA_INFO_DATA);
	struct nlattr *peer = mnl_attr_nest_start(h, VETH_INFO_PEER);

	mnl_nlmsg_put_extra_header(h, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(h, IFLA_IFNAME, EDGE_NAME);
	mnl_attr_put_u32(h, IFLA_MTU, MTU);
	mnl_attr_put_u32(h, IFLA_NET_NS_FD, (uint32_t)edge_ns);
	mnl_attr_nest_end(h, peer);
	mnl_attr_nest_end(h, data);
	mnl_attr_nest_end(h, info);
	return talk(guest, h);
}

static int set_up(struct mnl_socket *nl, unsigned index)
{
	char buf[MESSAGE];
	struct nlmsghdr *h = message(buf, RTM_NEWLINK, 0);
	struct ifinfomsg *i = mnl_nlmsg_put_extra_header(h, sizeof(*i));

	i->ifi_index = (int)index;
	i->ifi_flags = i->ifi_change = IFF_UP;
	return talk(nl, h);
}

static void put_address(struct nlmsghdr *h, uint16_t attribute, int family, const char *text)
{
	struct in6_addr a;

	if (inet_pton(family, text, &a) == 1)
		mnl_attr_put(h, attribute, family == AF_INET ? 4 : 16, &a);
}

static int add_address(struct mnl_socket *nl, unsigned index, int family, const char *address, unsigned bits)
{
	char buf[MESSAGE];
	struct nlmsghdr *h = message(buf, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->ifa_family = (uint8_t)family;
	m->ifa_prefixlen = (uint8_t)bits;
	m->ifa_flags = family == AF_INET6 ? IFA_F_NODAD : 0;	/* nobody else is there, and nobody may wait for the check */
	m->ifa_index = index;
	put_address(h, IFA_LOCAL, family, address);
	put_address(h, IFA_ADDRESS, family, address);
	return talk(nl, h);
}

/* A route; to (with its bits) and via may be NULL: to everywhere, by nobody. */
static int add_route_of(struct mnl_socket *nl, int family, uint8_t type, uint8_t table, const void *to, unsigned bits, const char *via, unsigned index)
{
	char buf[MESSAGE];
	struct nlmsghdr *h = message(buf, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));

	m->rtm_family = (uint8_t)family;
	m->rtm_dst_len = (uint8_t)bits;
	m->rtm_table = table;
	m->rtm_protocol = RTPROT_STATIC;
	m->rtm_scope = type == RTN_LOCAL ? RT_SCOPE_HOST : via ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK;
	m->rtm_type = type;
	if (to)
		mnl_attr_put(h, RTA_DST, family == AF_INET ? 4 : 16, to);
	if (via)
		put_address(h, RTA_GATEWAY, family, via);
	mnl_attr_put_u32(h, RTA_OIF, index);
	return talk(nl, h);
}

static int add_route(struct mnl_socket *nl, int family, uint8_t type, uint8_t table, const char *to, unsigned index)
{
	struct in6_addr a;

	if (to && inet_pton(family, to, &a) != 1)
		return -1;
	return add_route_of(nl, family, type, table, to ? &a : NULL, !to ? 0 : family == AF_INET ? 32 : 128, NULL, index);
}

/*
 * The guest's way to everybody, but not to multicast and what is reserved beside it: nobody is there to refuse a connection to
 * those, which without a route is refused inside and at once. So many halves of what is left: 224.0.0.0/3, ff00::/8.
 */
static int add_ways(struct mnl_socket *nl, int family, const char *via, unsigned index)
{
	unsigned char to[16] = { 0 };
	unsigned halves = family == AF_INET ? 3 : 8;

	for (unsigned bits = 1; bits <= halves; bits++) {
		to[0] = (unsigned char)(0xff00u >> (bits - 1));
		if (add_route_of(nl, family, RTN_UNICAST, RT_TABLE_MAIN, to, bits, via, index) < 0)
			return -1;
	}
	return 0;
}

static void write_setting(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		/* Where a setting is not there, neither is what it would switch off. */
		(void)!write(fd, text, strlen(text));
		(void)close(fd);
	}
}

/*
 * Every address is answered here: echo would make each of them look alive. Sources are not compared with routes, for all are local.
 * What is not TCP is told so each time: the kernel's bound of such words is for other people's networks, and in part for the whole
 * machine, so that a guest could spend it.
 */
static void edge_settings(void)
{
	write_setting("/proc/sys/net/ipv4/icmp_ratemask", "0");
	write_setting("/proc/sys/net/ipv6/icmp/ratelimit", "0");
	write_setting("/proc/sys/net/ipv4/icmp_echo_ignore_all", "1");
	write_setting("/proc/sys/net/ipv6/icmp/echo_ignore_all", "1");
	write_setting("/proc/sys/net/ipv4/conf/all/rp_filter", "0");
	write_setting("/proc/sys/net/ipv4/conf/" EDGE_NAME "/rp_filter", "0");
}

static int dress_edge(struct mnl_socket *nl, const struct net_link *l, const char **what)
{
	unsigned lo = if_nametoindex("lo"), edge = if_nametoindex(EDGE_NAME);

	*what = "address the link's edge";
	if (set_up(nl, lo) < 0 || add_address(nl, edge, AF_INET, l->edge, l->bits) < 0 || set_up(nl, edge) < 0)
		return -1;
	/* The guest first, or it would be local as well, and answers would not reach it. */
	*what = "make every address local";
	if (add_route(nl, AF_INET, RTN_UNICAST, RT_TABLE_LOCAL, l->guest, edge) < 0 ||
	    add_route(nl, AF_INET, RTN_LOCAL, RT_TABLE_LOCAL, NULL, lo) < 0)
		return -1;
	if (!l->ipv6)
		return 0;
	*what = "give the link IPv6";
	return add_address(nl, edge, AF_INET6, NET_LINK_EDGE6, NET_LINK_BITS6) < 0 ||
	       add_route(nl, AF_INET6, RTN_UNICAST, RT_TABLE_LOCAL, NET_LINK_GUEST6, edge) < 0 ||
	       add_route(nl, AF_INET6, RTN_LOCAL, RT_TABLE_LOCAL, NULL, lo) < 0 ? -1 : 0;
}

static int dress_guest(struct mnl_socket *nl, unsigned lo, unsigned eth, const struct net_link *l, const char **what)
{
	*what = "address the guest's end of the link";
	if (set_up(nl, lo) < 0 || add_address(nl, eth, AF_INET, l->guest, l->bits) < 0 || set_up(nl, eth) < 0 ||
	    add_ways(nl, AF_INET, l->edge, eth) < 0)
		return -1;
	if (!l->ipv6)
		return 0;
	return add_address(nl, eth, AF_INET6, NET_LINK_GUEST6, NET_LINK_BITS6) < 0 ||
	       add_ways(nl, AF_INET6, NET_LINK_EDGE6, eth) < 0 ? -1 : 0;
}

/* A socket that takes connections to any address (IP_TRANSPARENT), or questions to the edge's own. */
static int listener(int family, int type, const char *address, unsigned port)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a;
	socklen_t size = family == AF_INET ? sizeof(a.v4) : sizeof(a.v6);
	int one = 1, fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memset(&a, 0, sizeof(a));
	a.any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a.v4.sin_port = htons((uint16_t)port);
		if (address && inet_pton(AF_INET, address, &a.v4.sin_addr) != 1)
			a.v4.sin_addr.s_addr = 0;
	} else {
		a.v6.sin6_port = htons((uint16_t)port);
	}
	if (fd < 0)
		return -1;
	if ((family == AF_INET6 && setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &one, sizeof(one)) < 0) ||
	    setsockopt(fd, family == AF_INET ? SOL_IP : SOL_IPV6, family == AF_INET ? IP_TRANSPARENT : IPV6_TRANSPARENT, &one, sizeof(one)) < 0 ||
	    bind(fd, &a.any, size) < 0 || (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)) {
		int saved = errno;

		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

static int listen_all(const struct net_link *l, int sockets[NET_SOCKETS], const char **what)
{
	*what = "listen at the link's edge";
	sockets[NET_SOCKET_TCP] = listener(AF_INET, SOCK_STREAM, NULL, NET_NFT_PORT);
	sockets[NET_SOCKET_DNS] = listener(AF_INET, SOCK_DGRAM, l->edge, 53);
	sockets[NET_SOCKET_DNS_TCP] = listener(AF_INET, SOCK_STREAM, l->edge, 53);
	sockets[NET_SOCKET_TCP6] = l->ipv6 ? listener(AF_INET6, SOCK_STREAM, NULL, NET_NFT_PORT) : -1;
	for (unsigned i = 0; i < NET_SOCKETS; i++)
		if (sockets[i] < 0 && (i != NET_SOCKET_TCP6 || l->ipv6))
			return -1;
	return 0;
}

/* With a routing socket in each namespace: a socket stays in the one that it was made in. */
static int make(struct mnl_socket *guest, const struct net_link *l, int sockets[NET_SOCKETS], const char **what)
{
	unsigned lo = if_nametoindex("lo"), eth;
	int here = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), edge = -1, rc = -1;
	struct mnl_socket *nl = NULL;

	*what = "make the edge's network namespace";
	if (here < 0 || unshare(CLONE_NEWNET) < 0 || (edge = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC)) < 0)
		goto out;
	*what = "make a veth pair";
	if (make_pair(guest, edge, l->mac) < 0 || setns(here, CLONE_NEWNET) < 0 || !(eth = if_nametoindex(GUEST_NAME)) ||
	    setns(edge, CLONE_NEWNET) < 0)
		goto out;
	edge_settings();
	nl = mnl_socket_open(NETLINK_ROUTE);
	if (nl && mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) == 0 && dress_edge(nl, l, what) == 0 &&
	    dress_guest(guest, lo, eth, l, what) == 0 && net_nft_take_all(EDGE_NAME, l->edge, l->ipv6, what) == 0)
		rc = listen_all(l, sockets, what);
out:
	if (nl)
		(void)mnl_socket_close(nl);
	if (here >= 0)
		(void)close(here);
	if (edge >= 0)
		(void)close(edge);
	return rc;
}

int net_link_make(const struct net_link *l, int sockets[NET_SOCKETS], const char **what)
{
	struct mnl_socket *guest = mnl_socket_open(NETLINK_ROUTE);
	int rc = -1;

	*what = "speak to the kernel's routing";
	for (unsigned i = 0; i < NET_SOCKETS; i++)
		sockets[i] = -1;
	if (guest && mnl_socket_bind(guest, 0, MNL_SOCKET_AUTOPID) == 0)
		rc = make(guest, l, sockets, what);
	if (guest)
		(void)mnl_socket_close(guest);
	return rc;
}
