/* SPDX-License-Identifier: MIT */
#include "sup_run.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_frame.h"

/*
 * What a guest can make us do by an event is paced: after so many wakes in a window that brought little, what has come is taken
 * in at fixed times. A trace's socket has room for some 270 events, which no guest makes in its while.
 */
#define PACE_WAKES 8
#define PACE_WINDOW 0.010
#define TRACE_WHILE 0.002
/* And one that fills it makes them for our sake: it waits for us, and loses none (sup_trace.c, retries). */
#define FLOOD 128
#define FLOOD_WHILE 0.005
#define OUTPUT_WHILE 0.004
#define LITTLE 4096

enum { P_HOST, P_HOST_PID, P_LINE, P_OUT, P_ERR, P_IN, P_SIGNALS, P_NET, P_GUEST, P_COUNT = P_GUEST + SUP_KIND_POLL };

static void pace(struct sup_pace *p, double while_)
{
	double now = sbx_time_now();

	if (now > p->window + PACE_WINDOW) {
		p->window = now;
		p->wakes = p->wakes > PACE_WAKES ? PACE_WAKES - 1 : 0;
	}
	if (++p->wakes > PACE_WAKES)
		p->until = now + while_;
}

/* What has already been received, perhaps together with the request. */
static void take_frames(struct sup_run *s)
{
	uint8_t type;
	const unsigned char *payload;
	uint32_t n;
	int rc;

	while ((rc = sup_host_next(s->host, &type, &payload, &n)) > 0) {
		sup_frame_take(s, type, payload, n);
		sup_host_drop(s->host);
	}
	if (rc < 0)		/* no frame of ours: not our host */
		s->host_gone = true;
}

static void serve_host(struct sup_run *s)
{
	if (sup_host_recv(s->host) < 0)
		s->host_gone = true;
	take_frames(s);
}

static void serve_guest(struct sup_run *s)
{
	if (s->kind->serve)
		s->kind->serve(s);
}

/* Whether the guest goes on, as far as is known. */
static bool goes_on(const struct sup_run *s)
{
	return !sup_error_set(&s->error) && s->kind->goes_on && s->kind->goes_on(s);
}

static void serve_start(struct sup_run *s)
{
	if (s->started || !s->trace.started)
		return;
	s->started = true;
	s->phase = SUP_PHASE_RUN;
	s->start = s->idle_since = sbx_time_now();
	sup_slot_release(&s->slot);
	if (s->kind->started)
		s->kind->started(s);
	for (int signo = 1; signo < 64; signo++)
		if (s->pending_signals >> signo & 1)
			sup_frame_signal(s, signo);
}

/*
 * What comes before the guest's first instruction is runsc's own talk; its log has it, too. Only as much is dropped as was
 * there before the trace had no start yet: what comes after may be the guest's.
 */
static bool drop_talk(struct sup_run *s, struct sup_stream *stream)
{
	char scratch[4096];
	int n = 0;

	if (s->started || ioctl(stream->fd, FIONREAD, &n) < 0)
		return false;
	serve_guest(s);
	serve_start(s);
	if (s->started || n == 0 || s->kind->talk != SUP_TALK_DROP)
		return !s->started && s->kind->talk == SUP_TALK_KEEP;
	while (n > 0) {
		ssize_t got = read(stream->fd, scratch, n < (int)sizeof(scratch) ? (size_t)n : sizeof(scratch));

		if (got <= 0)
			break;
		n -= (int)got;
	}
	return true;
}

static void serve_stream(struct sup_run *s, struct sup_stream *stream)
{
	uint64_t before = stream->bytes;

	if (drop_talk(s, stream))
		return;
	/* A few pieces at a time, so that a flood delays neither deadline nor the other stream. */
	for (unsigned i = 0; i < 4 && sup_pump_read(stream, s->host) > 0; i++)
		(void)sup_host_flush(s->host);
	if (stream->bytes - before < LITTLE)
		pace(&s->pace_output, OUTPUT_WHILE);
	if (s->request.output_kill && stream->truncated)
		sup_run_end(s, SUP_OUTPUT_EXCEEDED);
}

static void serve_limits(struct sup_run *s, double now)
{
	const struct sup_request *r = &s->request;

	if (s->kind->limits)
		s->kind->limits(s, now);
	if (!s->started && now >= s->spawned + r->boot_timeout)
		sup_run_end(s, SUP_BOOT_TIMEOUT);
	if (s->started && r->timeout > 0 && now >= s->start + r->timeout)
		sup_run_end(s, SUP_TIMED_OUT);
}

static double sooner(double a, double b)
{
	return a < b ? a : b;
}

/* Milliseconds until something is due by the clock, rounded up. */
static int until_next(const struct sup_run *s, double now)
{
	double due = s->kind->due ? s->kind->due(s, now) : now + 3600;

	due = sooner(due, !s->started ? s->spawned + s->request.boot_timeout : s->request.timeout > 0 ? s->start + s->request.timeout : due);
	if (s->host->later > 0)
		due = sooner(due, s->host->later);
	if (s->pace_trace.until > now)
		due = sooner(due, s->pace_trace.until);
	if (s->pace_output.until > now)
		due = sooner(due, s->pace_output.until);
	return due <= now ? 0 : (int)ceil((due - now) * 1000);
}

static void fill(struct sup_run *s, struct pollfd p[P_COUNT])
{
	struct sup_stream *out = s->pump.out;
	double now = sbx_time_now();
	bool output = now >= s->pace_output.until;

	for (unsigned i = 0; i < P_COUNT; i++)
		p[i] = (struct pollfd){ .fd = -1, .events = POLLIN };
	p[P_HOST].fd = s->host->fd;
	p[P_HOST].events = (short)(POLLIN | (sup_host_sends(s->host) ? POLLOUT : 0));
	p[P_HOST_PID].fd = s->host->pidfd;
	p[P_LINE].fd = s->host->line;
	p[P_OUT].fd = output && sup_pump_wants(&out[0], s->host) ? out[0].fd : -1;
	p[P_ERR].fd = output && sup_pump_wants(&out[1], s->host) ? out[1].fd : -1;
	p[P_IN].fd = s->pump.in_len ? sup_pump_in(&s->pump) : -1;
	p[P_IN].events = POLLOUT;
	p[P_SIGNALS].fd = s->signals;
	p[P_NET].fd = sup_host_room(s->host) ? s->net.control : -1;
	if (s->kind->poll && now >= s->pace_trace.until)
		s->kind->poll(s, p + P_GUEST);
}

static void serve(struct sup_run *s, struct pollfd p[P_COUNT])
{
	struct signalfd_siginfo info;
	bool guest = s->kind->every_turn;

	for (unsigned i = 0; i < SUP_KIND_POLL; i++)
		guest = guest || p[P_GUEST + i].revents;
	if (guest)
		serve_guest(s);
	if (guest && s->started && s->kind->paced)
		pace(&s->pace_trace, s->trace.taken > FLOOD ? FLOOD_WHILE : TRACE_WHILE);
	if (s->spawned > 0)
		serve_start(s);
	if (p[P_NET].revents)
		sup_net_read(&s->net, s->host);
	if (p[P_HOST].revents & (POLLIN | POLLHUP | POLLERR))
		serve_host(s);
	if (p[P_HOST_PID].revents)
		s->host_gone = true;
	for (int signo; p[P_LINE].revents && (signo = sup_host_signal(s->host)) >= 0;)
		sup_frame_signal(s, signo);
	for (unsigned i = 0; i < 2; i++)
		if (p[P_OUT + i].revents)
			serve_stream(s, &s->pump.out[i]);
	sup_pump_stdin(&s->pump, s->host);
	if (sup_host_flush(s->host) < 0)
		s->host_gone = true;
	if (p[P_SIGNALS].revents) {
		while (read(s->signals, &info, sizeof(info)) > 0)
			s->asked = s->asked || info.ssi_signo == SIGUSR1;
		if (s->asked && s->tree)
			sup_tree_hear(s->tree);
		(void)sup_run_reap(s);
		serve_guest(s);		/* what it told before runsc's end counts; or a program's supervisor wants to know */
		if (s->spawned > 0)
			serve_start(s);
	}
}

bool sup_loop_turn(struct sup_run *s)
{
	struct pollfd p[P_COUNT];
	double began = sbx_time_now();

	take_frames(s);
	while (!s->host_gone && s->reason == SUP_EXITED && !sup_error_set(&s->error) &&
	       !sup_slot_try(&s->slot, s->request.state_dir)) {
		fill(s, p);
		if (poll(p, P_COUNT, SUP_SLOT_RETRY) < 0 && errno != EINTR)
			break;
		serve(s, p);
	}
	s->queued += sbx_time_now() - began;
	return !s->host_gone && s->reason == SUP_EXITED && !sup_error_set(&s->error);
}

void sup_loop_run(struct sup_run *s)
{
	struct pollfd p[P_COUNT];

	take_frames(s);
	sup_pump_stdin(&s->pump, s->host);
	serve_guest(s);
	serve_start(s);
	while (!s->host_gone && goes_on(s) && s->reason == SUP_EXITED) {
		fill(s, p);
		if (poll(p, P_COUNT, until_next(s, sbx_time_now())) < 0 && errno != EINTR)
			break;
		serve(s, p);
		if (goes_on(s))	/* an end that was told comes before a deadline of that moment */
			serve_limits(s, sbx_time_now());
	}
	s->end = sbx_time_now();
	if (!s->trace.ended)
		return;
	sup_pump_end(&s->pump);
	/* What was written in the last moment counts as well. */
	if (s->request.output_kill && s->reason == SUP_EXITED && !s->host_gone) {
		(void)sup_loop_drain(s);
		if (s->pump.out[0].truncated || s->pump.out[1].truncated)
			sup_run_end(s, SUP_OUTPUT_EXCEEDED);
	}
}

void sup_loop_end(struct sup_run *s)
{
	s->phase = SUP_PHASE_DRAIN;
	sup_pump_end(&s->pump);
}

bool sup_loop_drain(struct sup_run *s)
{
	bool empty = true;

	if (!s->started)
		return true;
	for (unsigned i = 0; i < 2; i++) {
		struct sup_stream *stream = &s->pump.out[i];

		/* What comes when the tail is on its way is nobody's output. */
		while (!stream->sent && sup_pump_read(stream, s->host) > 0)
			(void)sup_host_flush(s->host);
		/* No room: the pipe may hold more. */
		if (stream->fd >= 0 && !sup_pump_wants(stream, s->host))
			empty = false;
		else if (!sup_pump_tail(stream, s->host))
			empty = false;
	}
	return empty;
}

void sup_loop_linger(struct sup_run *s, bool result_queued)
{
	while (!s->host_gone && (!result_queued || s->host->out_len)) {
		struct pollfd p[2] = { { .fd = s->host->fd, .events = POLLIN | POLLOUT }, { .fd = s->host->pidfd, .events = POLLIN } };

		if (sup_host_flush(s->host) < 0)
			return;
		if (!result_queued)
			result_queued = sup_loop_drain(s) && sup_report(s);
		s->phase = result_queued ? SUP_PHASE_LINGER : s->phase;
		if (sup_host_flush(s->host) < 0 || (result_queued && !s->host->out_len))
			return;
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return;
		if (p[1].revents)
			return;
		if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
			serve_host(s);
	}
}
