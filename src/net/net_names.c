/* SPDX-License-Identifier: MIT */
#include "net_names.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>

#include "net_policy.h"
#include "sbx_time.h"

#define RANGE 0xc6130000u	/* 198.19.0.0/16 */
#define GOOD_MIN 5.0		/* seconds */
#define GOOD_MAX 300.0
#define BAD 2.0			/* how long a failure is remembered */
#define ASK_MS 2000
#define ASK_TRIES 2

static void on_socket(struct net_watch *w, uint32_t events);

/* c-ares opens a socket, changes what it waits for, or closes it. */
static void socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct net_names *n = arg;
	struct net_watch *place = NULL;
	size_t count = sizeof(n->sockets) / sizeof(n->sockets[0]);

	for (size_t i = 0; i < count; i++)
		if (n->sockets[i].fd == fd || (n->sockets[i].fd < 0 && !place))
			place = &n->sockets[i];
	if (!place)
		return;	/* its time-out comes */
	if (!readable && !writable) {
		if (place->fd == fd) {
			net_loop_drop(n->loop, place);
			place->fd = -1;
		}
		return;
	}
	place->fd = fd;
	(void)net_loop_watch(n->loop, place, (readable ? EPOLLIN : 0) | (writable ? EPOLLOUT : 0));
}

static void on_socket(struct net_watch *w, uint32_t events)
{
	struct net_names *n = w->owner;
	ares_socket_t fd = w->fd;

	ares_process_fd(n->channel, events & (EPOLLIN | EPOLLERR | EPOLLHUP) ? fd : ARES_SOCKET_BAD,
			events & (EPOLLOUT | EPOLLERR) ? fd : ARES_SOCKET_BAD);
}

int net_names_init(struct net_names *n, struct net_loop *loop, const char *resolver)
{
	/* No search list: what is asked for is the name that the policy has judged. */
	struct ares_options o = { .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES, .timeout = ASK_MS, .tries = ASK_TRIES,
				  .sock_state_cb = socket_state, .sock_state_cb_data = n };

	memset(n, 0, sizeof(*n));
	n->loop = loop;
	for (size_t i = 0; i < sizeof(n->sockets) / sizeof(n->sockets[0]); i++)
		n->sockets[i] = (struct net_watch){ .fd = -1, .ready = on_socket, .owner = n };
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS ||
	    ares_init_options(&n->channel, &o, ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB) != ARES_SUCCESS)
		return -1;
	n->ready = true;
	return resolver && ares_set_servers_ports_csv(n->channel, resolver) != ARES_SUCCESS ? -1 : 0;
}

void net_names_destroy(struct net_names *n)
{
	n->waiters = NULL;
	if (n->ready)
		ares_destroy(n->channel);
	n->ready = false;
	for (size_t i = 0; i < NET_NAMES; i++)
		free(n->list[i]);
	memset(n->list, 0, sizeof(n->list));
	ares_library_cleanup();
}

int net_names_timeout(const struct net_names *n, int limit)
{
	struct timeval most = { .tv_sec = limit / 1000, .tv_usec = limit % 1000 * 1000 }, out;
	struct timeval *t = ares_timeout(n->channel, &most, &out);

	return t ? (int)(t->tv_sec * 1000 + t->tv_usec / 1000) + 1 : limit;
}

void net_names_due(struct net_names *n)
{
	ares_process_fd(n->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

bool net_names_ours(const struct in6_addr *address)
{
	return IN6_IS_ADDR_V4MAPPED(address) && address->s6_addr[12] == RANGE >> 24 && address->s6_addr[13] == (RANGE >> 16 & 0xff);
}

struct net_name *net_names_at(const struct net_names *n, const struct in6_addr *address)
{
	unsigned slot = (unsigned)address->s6_addr[14] << 8 | address->s6_addr[15];
	struct net_name *name = n->list[slot % NET_NAMES];

	return net_names_ours(address) && name && name->slot == slot ? name : NULL;
}

struct in_addr net_names_address(const struct net_name *name)
{
	return (struct in_addr){ .s_addr = htonl(RANGE | name->slot) };
}

/* Tells all that wait for the name; each may ask anew. */
static void tell(struct net_names *n, struct net_name *name)
{
	struct net_waiter *mine = NULL, **at = &n->waiters;

	while (*at) {
		struct net_waiter *w = *at;

		if (w->name != name) {
			at = &w->next;
			continue;
		}
		*at = w->next;
		w->next = mine;
		mine = w;
		n->waiting--;
	}
	while (mine) {
		struct net_waiter *w = mine;

		mine = w->next;
		w->name = NULL;
		w->known(w, name);
	}
}

static void take_addresses(struct net_name *name, const struct ares_addrinfo *found)
{
	double good = GOOD_MAX;

	for (const struct ares_addrinfo_node *a = found->nodes; a && name->n < NET_NAME_ADDRESSES; a = a->ai_next) {
		if (a->ai_family == AF_INET)
			net_address_v4(&name->address[name->n++], ((const struct sockaddr_in *)(const void *)a->ai_addr)->sin_addr);
		else if (a->ai_family == AF_INET6)
			name->address[name->n++] = ((const struct sockaddr_in6 *)(const void *)a->ai_addr)->sin6_addr;
		else
			continue;
		if (a->ai_ttl < good)
			good = a->ai_ttl;
	}
	name->state = name->n ? NET_NAME_FOUND : NET_NAME_MISSING;
	name->until = sbx_time_now() + (good < GOOD_MIN ? GOOD_MIN : good);
}

static void on_answer(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
	struct net_name *name = arg;
	struct net_names *n = name->all;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION)
		return;
	name->n = 0;
	if (status == ARES_SUCCESS && found) {
		take_addresses(name, found);
	} else {
		name->state = status == ARES_ENOTFOUND || status == ARES_ENODATA ? NET_NAME_MISSING : NET_NAME_FAILED;
		name->until = sbx_time_now() + BAD;
	}
	if (found)
		ares_freeaddrinfo(found);
	tell(n, name);
}

/* The name's entry, or a new one in the place of the oldest that nobody is being asked about. */
static struct net_name *entry(struct net_names *n, const char *text)
{
	for (size_t i = 0; i < NET_NAMES; i++)
		if (n->list[i] && !strcmp(n->list[i]->name, text))
			return n->list[i];
	for (size_t tries = 0; tries < NET_NAMES; tries++) {
		uint16_t slot = n->next++;
		struct net_name **place = &n->list[slot % NET_NAMES];

		if (*place && (*place)->state == NET_NAME_ASKED)
			continue;
		if (!*place && !(*place = calloc(1, sizeof(**place))))
			return NULL;
		memset(*place, 0, sizeof(**place));
		(*place)->slot = slot;
		(*place)->all = n;
		memcpy((*place)->name, text, strlen(text) + 1);	/* net_dns has measured it */
		return *place;
	}
	return NULL;
}

void net_names_ask(struct net_names *n, const char *text, struct net_waiter *w)
{
	static const struct ares_addrinfo_hints hints = { .ai_family = AF_UNSPEC, .ai_flags = ARES_AI_NOSORT };
	static const struct net_name none = { .state = NET_NAME_ASKED };
	struct net_name *name = entry(n, text);

	w->name = NULL;
	if (!name || n->waiting == NET_NAME_WAITERS) {
		w->known(w, &none);
		return;
	}
	if (name->state > NET_NAME_ASKED && sbx_time_now() < name->until) {
		w->known(w, name);
		return;
	}
	w->name = name;
	w->next = n->waiters;
	n->waiters = w;
	n->waiting++;
	if (name->state != NET_NAME_ASKED) {
		name->state = NET_NAME_ASKED;
		ares_getaddrinfo(n->channel, name->name, NULL, &hints, on_answer, name);
	}
}

void net_names_forget(struct net_names *n, struct net_waiter *w)
{
	for (struct net_waiter **at = &n->waiters; w->name && *at; at = &(*at)->next)
		if (*at == w) {
			*at = w->next;
			w->name = NULL;
			n->waiting--;
			return;
		}
}
