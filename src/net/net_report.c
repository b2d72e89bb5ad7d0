/* SPDX-License-Identifier: MIT */
#include "net_report.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

struct text {
	char bytes[1024];
	size_t n;
};

__attribute__((format(printf, 2, 3)))
static void add(struct text *t, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(t->bytes + t->n, sizeof(t->bytes) - t->n, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(t->bytes) - t->n)
		t->n += (size_t)n + 1;	/* the item's NUL */
}

static void send_text(struct net_report *r, const struct text *t)
{
	if (send(r->control, t->bytes, t->n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		r->counters->lost++;
}

static void add_address(struct text *t, const struct in6_addr *a)
{
	char text[INET6_ADDRSTRLEN];
	bool v4 = IN6_IS_ADDR_V4MAPPED(a);

	if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->s6_addr + 12 : a->s6_addr, text, sizeof(text)))
		add(t, "address=%s", text);
}

uint64_t net_report_event(struct net_report *r, const struct net_event *e)
{
	struct text t = { .n = 0 };
	struct timespec now;
	uint64_t id = r->next++;

	if (e->reason)
		r->counters->refused++;
	else
		r->counters->connections++;
	if (r->told == SBX_NET_EVENTS) {
		r->counters->lost++;
		return id;
	}
	r->told++;
	(void)clock_gettime(CLOCK_REALTIME, &now);
	add(&t, "event=%" PRIu64, id);
	add(&t, "at=%lld.%06ld", (long long)now.tv_sec, now.tv_nsec / 1000);
	if (e->host)
		add(&t, "host=%s", e->host);
	if (e->address)
		add_address(&t, e->address);
	if (e->port)
		add(&t, "port=%u", e->port);
	if (e->reason)
		add(&t, "reason=%s", e->reason);
	send_text(r, &t);
	return id;
}

void net_report_end(struct net_report *r, uint64_t id, uint64_t bytes_in, uint64_t bytes_out)
{
	struct text t = { .n = 0 };

	add(&t, "end=%" PRIu64, id);
	add(&t, "bytes_in=%" PRIu64, bytes_in);
	add(&t, "bytes_out=%" PRIu64, bytes_out);
	send_text(r, &t);
}

void net_report_say(struct net_report *r, const char *word, const char *text)
{
	struct text t = { .n = 0 };

	add(&t, "say=%s", word);
	add(&t, "text=%s", text);
	send_text(r, &t);
}
