/* SPDX-License-Identifier: MIT */
#include "net_forward.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbx_time.h"

#define PIECES 4u		/* pieces a direction and turn, so that one connection holds up no other */
#define ACCEPTS 32u		/* connections a turn */
#define CONNECT_SECONDS 15.0
#define REFILL_MS 10
#define REST_SECONDS 0.1
#define DESCRIPTORS_ELSE 104u	/* c-ares', those of TCP questions, the list of addresses, ours */

enum side { GUEST, OUTSIDE };

struct net_connection {
	struct net_connection *next, **link;
	struct net_forward *f;
	struct net_watch side[2];
	struct net_way way[2];		/* from that side to the other */
	struct net_waiter waiter;
	struct in6_addr asked, chosen;	/* what the guest connected to; what we do */
	uint16_t port;
	char host[NET_NAME_MAX];	/* empty: a number */
	struct in6_addr address[NET_NAME_ADDRESSES];
	unsigned addresses, tried;
	bool joined, judged;
	uint64_t id;
	double deadline;
};

static void on_guest(struct net_watch *w, uint32_t events);
static void on_outside(struct net_watch *w, uint32_t events);

/* Ends at once; both ends are reset where reset says so. Freed after the turn. */
static void end(struct net_connection *c, bool reset)
{
	struct net_forward *f = c->f;
	struct linger hard = { .l_onoff = 1 };

	if (!c->link)
		return;
	net_names_forget(f->names, &c->waiter);
	for (unsigned i = 0; i < 2; i++) {
		if (c->side[i].fd >= 0 && reset)
			(void)setsockopt(c->side[i].fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
		net_loop_close(&c->side[i]);
		net_way_destroy(&c->way[i]);
	}
	if (c->judged)
		net_report_end(f->report, c->id, c->way[OUTSIDE].passed, c->way[GUEST].passed);
	*c->link = c->next;
	if (c->next)
		c->next->link = c->link;
	c->link = NULL;
	c->next = f->dead;
	f->dead = c;
	f->count--;
}

static void tell(struct net_connection *c, net_verdict why, const struct in6_addr *address)
{
	struct net_event e = { .host = c->host[0] ? c->host : NULL, .address = address, .port = c->port, .reason = why };

	c->id = net_report_event(c->f->report, &e);
	c->judged = !why;
}

static void refuse(struct net_connection *c, net_verdict why, const struct in6_addr *address)
{
	tell(c, why, address);
	end(c, true);
}

/* Judging --------------------------------------------------------------------------------------------------------------- */

static net_verdict judge(struct net_forward *f, const struct in6_addr *a, uint16_t port, bool by_name)
{
	return net_policy_address(f->policy, a, port, by_name, net_own_has(&f->own, a));
}

/* Connecting ------------------------------------------------------------------------------------------------------------ */

static int connect_to(const struct in6_addr *a, uint16_t port)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = *a };
	bool four = IN6_IS_ADDR_V4MAPPED(a);
	int one = 1, fd = socket(four ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	memcpy(&v4.sin_addr, a->s6_addr + 12, 4);
	if (fd < 0)
		return -1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	if (connect(fd, four ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6, four ? sizeof(v4) : sizeof(v6)) < 0 && errno != EINPROGRESS) {
		(void)close(fd);
		return -1;
	}
	return fd;
}

/* The next of its addresses; when none is left, the guest is reset as it would have been. */
static void try_next(struct net_connection *c)
{
	struct net_watch *out = &c->side[OUTSIDE];

	net_loop_close(out);
	while (c->tried < c->addresses) {
		c->chosen = c->address[c->tried++];
		out->fd = connect_to(&c->chosen, c->port);
		if (out->fd >= 0 && net_loop_watch(c->f->loop, out, EPOLLOUT) == 0)
			return;
	}
	end(c, true);
}

/* Of a name's addresses those stay that may be reached. */
static void on_known(struct net_waiter *w, const struct net_name *name)
{
	struct net_connection *c = (struct net_connection *)((char *)w - offsetof(struct net_connection, waiter));
	net_verdict why = name->state == NET_NAME_MISSING ? "no such name" : "name cannot be resolved";
	const struct in6_addr *refused = NULL;

	for (unsigned i = 0; name->state == NET_NAME_FOUND && i < name->n; i++) {
		net_verdict bad = judge(c->f, &name->address[i], c->port, true);

		if (!bad) {
			c->address[c->addresses++] = name->address[i];
		} else if (!refused) {
			why = bad;
			refused = &name->address[i];
		}
	}
	if (!c->addresses) {
		refuse(c, why, refused);
		return;
	}
	tell(c, NULL, &c->address[0]);
	try_next(c);
}

static void decide(struct net_connection *c)
{
	struct net_name *name = net_names_at(c->f->names, &c->asked);
	net_verdict why;

	if (name) {
		memcpy(c->host, name->name, sizeof(c->host));
		why = net_policy_name_port(c->f->policy, c->host, c->port);
		if (why)
			refuse(c, why, NULL);
		else
			net_names_ask(c->f->names, c->host, &c->waiter);
		return;
	}
	why = net_names_ours(&c->asked) ? "an address of a name that was forgotten" : judge(c->f, &c->asked, c->port, false);
	if (why) {
		refuse(c, why, &c->asked);
		return;
	}
	tell(c, NULL, &c->asked);
	c->address[c->addresses++] = c->asked;
	try_next(c);
}

/* Bytes ----------------------------------------------------------------------------------------------------------------- */

/* How many bytes may be read now. */
static size_t allowance(struct net_forward *f)
{
	if (!f->policy->bandwidth)
		return NET_WAY_BYTES;
	if (f->budget < 1 && f->short_since <= 0)
		f->short_since = sbx_time_now();
	return f->budget < 1 ? 0 : f->budget < NET_WAY_BYTES ? (size_t)f->budget : NET_WAY_BYTES;
}

/* What one side has, to the other: a few pieces, and no more reads than bring something. */
static void move(struct net_connection *c, enum side from)
{
	struct net_way *w = &c->way[from];
	struct net_forward *f = c->f;
	int in = c->side[from].fd, out = c->side[!from].fd;
	uint64_t before = w->passed;
	ssize_t n = 1;
	bool broken = net_way_write(w, out) < 0;

	for (unsigned i = 0; i < PIECES && n > 0 && !broken && !w->len && !w->ended; i++) {
		size_t most = allowance(f);

		n = most ? net_way_move(w, &f->pipe, in, out, most) : 0;
		f->budget -= n > 0 ? (double)n : 0;
		broken = n < 0 || net_way_write(w, out) < 0;
		if (n > 0 && (size_t)n < most)	/* that was all */
			n = 0;
	}
	*(from == GUEST ? &f->report->counters->bytes_out : &f->report->counters->bytes_in) += w->passed - before;
	if (broken)
		end(c, true);
}

static void wait_for_more(struct net_connection *c)
{
	bool spent = c->f->policy->bandwidth && c->f->budget < 1;

	for (unsigned i = 0; i < 2; i++) {
		const struct net_way *in = &c->way[i], *out = &c->way[!i];
		uint32_t events = (!in->ended && !in->len && !spent ? EPOLLIN : 0) | (out->len ? EPOLLOUT : 0);

		/* A side with nothing to come is hung up for good, which epoll would tell without end. */
		if (in->ended && out->closed)
			net_loop_drop(c->f->loop, &c->side[i]);
		else if (net_loop_watch(c->f->loop, &c->side[i], events) < 0) {
			end(c, true);
			return;
		}
	}
}

/* A side is ready: for reading, or for more of what comes from the other. One that is hung up may be both. */
static void pump(struct net_connection *c, enum side side, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLHUP))
		move(c, side);
	if (c->link && events & (EPOLLOUT | EPOLLHUP))
		move(c, !side);
	if (c->link && c->way[GUEST].closed && c->way[OUTSIDE].closed)
		end(c, false);
	if (c->link)
		wait_for_more(c);
}

static void on_guest(struct net_watch *w, uint32_t events)
{
	struct net_connection *c = w->owner;

	if (events & EPOLLERR || (events & EPOLLHUP && !c->joined))
		end(c, true);
	else if (c->joined)
		pump(c, GUEST, events);
}

static void on_outside(struct net_watch *w, uint32_t events)
{
	struct net_connection *c = w->owner;
	int error = 0;
	socklen_t n = sizeof(error);

	if (!c->joined) {
		(void)getsockopt(w->fd, SOL_SOCKET, SO_ERROR, &error, &n);
		if (error) {
			try_next(c);
			return;
		}
		c->joined = true;
	} else if (events & EPOLLERR) {
		end(c, true);
		return;
	}
	pump(c, OUTSIDE, events);
}

/* Accepting ------------------------------------------------------------------------------------------------------------- */

static void where(int fd, struct net_connection *c)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a;
	socklen_t n = sizeof(a);

	memset(&a, 0, sizeof(a));
	if (getsockname(fd, &a.any, &n) < 0)
		return;
	if (a.any.sa_family == AF_INET)
		net_address_v4(&c->asked, a.v4.sin_addr);
	else
		c->asked = a.v6.sin6_addr;
	c->port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
}

static void begin(struct net_forward *f, int fd)
{
	struct net_connection *c = calloc(1, sizeof(*c));

	if (!c) {
		(void)close(fd);
		return;
	}
	c->f = f;
	c->side[GUEST] = (struct net_watch){ .fd = fd, .ready = on_guest, .owner = c };
	c->side[OUTSIDE] = (struct net_watch){ .fd = -1, .ready = on_outside, .owner = c };
	c->waiter.known = on_known;
	c->deadline = sbx_time_now() + CONNECT_SECONDS;
	c->next = f->live;
	c->link = &f->live;
	if (c->next)
		c->next->link = &c->next;
	f->live = c;
	f->count++;
	where(fd, c);
	if (f->count > f->policy->connections || f->count > f->most) {
		f->report->counters->exceeded++;
		refuse(c, "as many connections as may be", net_names_ours(&c->asked) ? NULL : &c->asked);
	} else if (net_loop_watch(f->loop, &c->side[GUEST], 0) < 0) {
		end(c, true);
	} else {
		decide(c);
	}
}

static void listen_for(struct net_forward *f, uint32_t events)
{
	for (unsigned i = 0; i < 2; i++)
		if (f->listener[i].fd >= 0)
			(void)net_loop_watch(f->loop, &f->listener[i], events);
}

/* The kernel would tell without end of what it cannot give. */
static void rest(struct net_forward *f)
{
	f->resting = sbx_time_now() + REST_SECONDS;
	listen_for(f, 0);
}

static void on_listener(struct net_watch *w, uint32_t events)
{
	(void)events;
	for (unsigned i = 0; i < ACCEPTS; i++) {
		int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM))
			rest(w->owner);
		if (fd < 0)
			return;
		begin(w->owner, fd);
	}
}

/* Two descriptors each, and some are others'. One at least. */
static uint32_t connections_by_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0 || r.rlim_cur < DESCRIPTORS_ELSE + 2)
		return 1;
	return r.rlim_cur > UINT32_MAX ? UINT32_MAX : (uint32_t)((r.rlim_cur - DESCRIPTORS_ELSE) / 2);
}

void net_forward_init(struct net_forward *f, int tcp, int tcp6)
{
	const int fd[] = { tcp, tcp6 };
	int one = 1;

	f->refilled = sbx_time_now();
	f->most = connections_by_descriptors();
	for (unsigned i = 0; i < 2; i++) {
		f->listener[i] = (struct net_watch){ .fd = fd[i], .ready = on_listener, .owner = f };
		if (fd[i] >= 0)		/* which those that it accepts have from it */
			(void)setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
	listen_for(f, EPOLLIN);
}

static void bury(struct net_forward *f)
{
	for (struct net_connection *c; (c = f->dead); free(c))
		f->dead = c->next;
}

void net_forward_destroy(struct net_forward *f)
{
	while (f->live)
		end(f->live, true);
	bury(f);
	net_own_destroy(&f->own);
	for (unsigned i = 0; i < 2; i++)
		net_loop_close(&f->listener[i]);
	net_pipe_destroy(&f->pipe);
}

void net_forward_judge_all(struct net_forward *f)
{
	f->budget = 0;
	f->refilled = sbx_time_now();
	for (struct net_connection *c = f->live, *next; c; c = next) {
		next = c->next;
		if ((c->host[0] && net_policy_name_port(f->policy, c->host, c->port)) ||
		    (c->addresses && judge(f, &c->chosen, c->port, c->host[0] != '\0')))
			end(c, true);
		else if (c->joined)
			wait_for_more(c);	/* it may have waited for bandwidth */
	}
}

int net_forward_timeout(const struct net_forward *f, int limit)
{
	if (f->resting > 0 && limit > REST_SECONDS * 1000)
		limit = (int)(REST_SECONDS * 1000);
	if (!f->live)
		return limit;
	if (f->policy->bandwidth && f->budget < 1 && limit > REFILL_MS)
		return REFILL_MS;
	return limit > 1000 || limit < 0 ? 1000 : limit;	/* connects that take too long are looked for each second */
}

static void refill(struct net_forward *f, double now)
{
	double rate = (double)f->policy->bandwidth, most = rate / 10 > NET_WAY_BYTES ? rate / 10 : NET_WAY_BYTES;
	bool spent = f->budget < 1;

	/* Not by single bytes, each of which would be a turn. */
	if (!f->policy->bandwidth || (spent && now - f->refilled < REFILL_MS / 1000.0))
		return;
	f->budget += rate * (now - f->refilled);
	if (f->budget > most)
		f->budget = most;
	f->refilled = now;
	if (f->short_since > 0 && f->budget >= 1) {
		f->report->counters->held += (uint64_t)((now - f->short_since) * 1e6);
		f->short_since = 0;
	}
	for (struct net_connection *c = f->live, *next; spent && f->budget >= 1 && c; c = next) {
		next = c->next;
		if (c->joined)
			wait_for_more(c);
	}
}

void net_forward_due(struct net_forward *f)
{
	double now = sbx_time_now();

	refill(f, now);
	if (f->resting > 0 && now >= f->resting) {
		f->resting = 0;
		listen_for(f, EPOLLIN);
	}
	for (struct net_connection *c = f->live, *next; c; c = next) {
		next = c->next;
		if (!c->joined && now > c->deadline)
			end(c, true);
	}
	if (!f->live || !f->policy->bandwidth)
		f->short_since = 0;
	bury(f);
}
