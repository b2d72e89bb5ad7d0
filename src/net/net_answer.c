/* SPDX-License-Identifier: MIT */
#include "net_answer.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sbx_time.h"

#define PACKETS 32u		/* a turn */
#define TTL 30u
#define STREAM_SECONDS 5.0
#define WAITING 256u		/* questions whose names are being asked for */

/* A question that waits for its name. Freed when that is known. */
struct asked {
	struct net_waiter waiter;
	struct net_answer *all;
	struct net_question question;
	unsigned char packet[NET_DNS_MAX];
	union { struct sockaddr any; struct sockaddr_in v4; } from;
	struct net_stream *stream;	/* NULL: UDP */
	double stream_deadline;		/* which question of that place it is */
};

static void end_stream(struct net_answer *a, struct net_stream *s)
{
	net_loop_drop(a->loop, &s->watch);
	if (s->watch.fd >= 0)
		(void)close(s->watch.fd);
	s->watch.fd = -1;
	s->n = 0;
}

static void reply(struct asked *q, int code, const struct in_addr *address)
{
	unsigned char out[2 + NET_DNS_MAX];
	size_t n = net_dns_answer(out + 2, q->packet, &q->question, code, address, TTL);

	if (!q->stream) {
		(void)sendto(q->all->udp.fd, out + 2, n, MSG_DONTWAIT | MSG_NOSIGNAL, &q->from.any, sizeof(q->from.v4));
		return;
	}
	if (q->stream->watch.fd < 0 || q->stream->deadline > q->stream_deadline)
		return;	/* another's by now */
	out[0] = (unsigned char)(n >> 8);
	out[1] = (unsigned char)n;
	/* A socket's buffer holds it; one that does not take it is closed as any other. */
	(void)send(q->stream->watch.fd, out, n + 2, MSG_DONTWAIT | MSG_NOSIGNAL);
	end_stream(q->all, q->stream);
}

static void on_known(struct net_waiter *w, const struct net_name *name)
{
	struct asked *q = (struct asked *)w;
	struct in_addr address = net_names_address(name);
	bool a = q->question.type == NET_DNS_A;

	reply(q, name->state == NET_NAME_FOUND ? NET_DNS_OK : name->state == NET_NAME_MISSING ? NET_DNS_NXDOMAIN : NET_DNS_SERVFAIL,
	      a && name->state == NET_NAME_FOUND ? &address : NULL);
	q->all->waiting--;
	free(q);
}

static void take(struct net_answer *a, const struct asked *from, const unsigned char *packet, size_t n)
{
	struct asked *q = malloc(sizeof(*q));
	int code;

	if (!q)
		return;
	*q = *from;
	q->all = a;
	memcpy(q->packet, packet, n < sizeof(q->packet) ? n : sizeof(q->packet));
	code = net_dns_read(packet, n, &q->question);
	net_verdict why = code == NET_DNS_OK ? net_policy_name(a->policy, q->question.name) : NULL;

	if (why) {
		struct net_event e = { .host = q->question.name, .reason = why };

		(void)net_report_event(a->report, &e);
		code = NET_DNS_NXDOMAIN;
	}
	if (code == NET_DNS_OK && a->waiting < WAITING) {
		a->waiting++;
		net_names_ask(a->names, q->question.name, &q->waiter);
		return;
	}
	if (code >= 0)
		reply(q, code == NET_DNS_OK ? NET_DNS_SERVFAIL : code, NULL);
	free(q);
}

static void on_packet(struct net_watch *w, uint32_t events)
{
	struct net_answer *a = w->owner;
	unsigned char packet[NET_DNS_MAX + 1];	/* one more, so that what is too long is seen */

	(void)events;
	for (unsigned i = 0; i < PACKETS; i++) {
		struct asked q = { .waiter.known = on_known };
		socklen_t size = sizeof(q.from);
		ssize_t n = recvfrom(w->fd, packet, sizeof(packet), MSG_DONTWAIT, &q.from.any, &size);

		if (n < 0)
			return;
		if (size == sizeof(q.from.v4))
			take(a, &q, packet, (size_t)n);
	}
}

/* Two bytes of length, then the question; one for each connection. */
static void on_stream(struct net_watch *w, uint32_t events)
{
	struct net_answer *a = w->owner;
	struct net_stream *s = (struct net_stream *)((char *)w - offsetof(struct net_stream, watch));
	size_t want = s->n < 2 ? 2 : 2 + ((size_t)s->in[0] << 8 | s->in[1]);

	(void)events;
	if (want > sizeof(s->in)) {
		end_stream(a, s);
		return;
	}
	ssize_t n = recv(w->fd, s->in + s->n, want - s->n, MSG_DONTWAIT);

	if (n <= 0) {
		end_stream(a, s);
		return;
	}
	s->n += (size_t)n;
	if (s->n > 2 && s->n == want) {
		struct asked q = { .waiter.known = on_known, .stream = s, .stream_deadline = s->deadline };

		if (net_loop_watch(a->loop, w, 0) == 0)
			take(a, &q, s->in + 2, s->n - 2);
	}
}

static void on_listener(struct net_watch *w, uint32_t events)
{
	struct net_answer *a = w->owner;

	(void)events;
	int fd = accept4(w->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	for (unsigned i = 0; i < NET_ANSWER_STREAMS; i++) {
		struct net_stream *s = &a->stream[i];

		if (s->watch.fd >= 0)
			continue;
		s->watch.fd = fd;
		s->n = 0;
		s->deadline = sbx_time_now() + STREAM_SECONDS;
		if (net_loop_watch(a->loop, &s->watch, EPOLLIN) < 0)
			end_stream(a, s);
		return;
	}
	(void)close(fd);
}

void net_answer_init(struct net_answer *a, int udp, int tcp)
{
	a->udp = (struct net_watch){ .fd = udp, .ready = on_packet, .owner = a };
	a->listener = (struct net_watch){ .fd = tcp, .ready = on_listener, .owner = a };
	for (unsigned i = 0; i < NET_ANSWER_STREAMS; i++)
		a->stream[i].watch = (struct net_watch){ .fd = -1, .ready = on_stream, .owner = a };
	(void)net_loop_watch(a->loop, &a->udp, EPOLLIN);
	(void)net_loop_watch(a->loop, &a->listener, EPOLLIN);
}

void net_answer_destroy(struct net_answer *a)
{
	for (unsigned i = 0; i < NET_ANSWER_STREAMS; i++)
		end_stream(a, &a->stream[i]);
	net_loop_drop(a->loop, &a->udp);
	net_loop_drop(a->loop, &a->listener);
	(void)close(a->udp.fd);
	(void)close(a->listener.fd);
}

void net_answer_due(struct net_answer *a)
{
	double now = sbx_time_now();

	for (unsigned i = 0; i < NET_ANSWER_STREAMS; i++)
		if (a->stream[i].watch.fd >= 0 && now > a->stream[i].deadline)
			end_stream(a, &a->stream[i]);
}
