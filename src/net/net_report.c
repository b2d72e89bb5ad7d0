/* SPDX-License-Identifier: MIT */
#include "net_report.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include "sbx_time.h"

#define TOGETHER_SECONDS 0.005

/* As many records as are told at once: a message of the longest one more would not fit. */
void net_report_flush(struct net_report *r)
{
	if (r->n && send(r->control, r->bytes, r->n, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		r->counters->lost += r->records;
	r->n = r->records = 0;
	r->flushed = sbx_time_now();
}

static void begin(struct net_report *r)
{
	if (sizeof(r->bytes) - r->n < NET_REPORT_RECORD)
		net_report_flush(r);
	r->records++;
}

__attribute__((format(printf, 2, 3)))
static void add(struct net_report *r, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(r->bytes + r->n, sizeof(r->bytes) - r->n, format, args);
	va_end(args);
	if (n >= 0 && (size_t)n < sizeof(r->bytes) - r->n)
		r->n += (size_t)n + 1;	/* the item's NUL */
}

static void add_address(struct net_report *r, const struct in6_addr *a)
{
	char text[INET6_ADDRSTRLEN];
	bool v4 = IN6_IS_ADDR_V4MAPPED(a);

	if (inet_ntop(v4 ? AF_INET : AF_INET6, v4 ? a->s6_addr + 12 : a->s6_addr, text, sizeof(text)))
		add(r, "address=%s", text);
}

static bool may_tell(struct net_report *r)
{
	double now = sbx_time_now();

	r->told -= (now - r->told_at) * SBX_NET_EVENTS_SECOND;
	r->told = (r->told < 0 ? 0 : r->told) + 1;
	r->told_at = now;
	if (r->told <= SBX_NET_EVENTS)
		return true;
	r->told--;
	return false;
}

uint64_t net_report_event(struct net_report *r, const struct net_event *e)
{
	struct timespec now;
	uint64_t id = r->next++;

	if (e->reason)
		r->counters->refused++;
	else
		r->counters->connections++;
	if (!may_tell(r)) {
		r->counters->lost++;
		return NET_REPORT_UNTOLD;
	}
	(void)clock_gettime(CLOCK_REALTIME, &now);
	begin(r);
	add(r, "event=%" PRIu64, id);
	add(r, "at=%lld.%06ld", (long long)now.tv_sec, now.tv_nsec / 1000);
	if (e->host)
		add(r, "host=%s", e->host);
	if (e->address)
		add_address(r, e->address);
	if (e->port)
		add(r, "port=%u", e->port);
	if (e->reason)
		add(r, "reason=%s", e->reason);
	return id;
}

void net_report_end(struct net_report *r, uint64_t id, uint64_t bytes_in, uint64_t bytes_out)
{
	if (id == NET_REPORT_UNTOLD)
		return;
	begin(r);
	add(r, "end=%" PRIu64, id);
	add(r, "bytes_in=%" PRIu64, bytes_in);
	add(r, "bytes_out=%" PRIu64, bytes_out);
}

void net_report_say(struct net_report *r, const char *word, const char *text)
{
	net_report_flush(r);	/* who waits for a word looks at the first of a message */
	begin(r);
	add(r, "say=%s", word);
	add(r, "text=%s", text);
	net_report_flush(r);
}

int net_report_timeout(const struct net_report *r, int limit)
{
	double left = r->flushed + TOGETHER_SECONDS - sbx_time_now();

	return !r->n ? limit : left <= 0 ? 0 : (int)(left * 1000) < limit ? (int)(left * 1000) + 1 : limit;
}

void net_report_due(struct net_report *r)
{
	if (r->n && sbx_time_now() >= r->flushed + TOGETHER_SECONDS)
		net_report_flush(r);
}
