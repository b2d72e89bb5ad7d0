/* SPDX-License-Identifier: MIT */
#include "sup_run.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_time.h"

#define MEMORY_TICK 0.005
#define CPU_TICK 0.010
/* A process that dies closes its sockets a moment before it is seen to be dead. */
#define GOFER_MS 20
#define IDLE_TICK 0.25
/* 1 MiB of pipe in pieces of at least a page. */
#define DRAIN_READS 256

/*
 * What a guest can make us do by an event is paced: after so many wakes in a window that brought little, what has come is taken
 * in at fixed times. A trace's socket has room for some 270 events, which no guest makes in its while.
 */
#define PACE_WAKES 8
#define PACE_WINDOW 0.010
#define TRACE_WHILE 0.002
#define OUTPUT_WHILE 0.004
#define LITTLE 4096

enum { P_HOST, P_HOST_PID, P_LINE, P_OUT, P_ERR, P_IN, P_LISTEN, P_TRACE, P_SIGNALS, P_GOFER, P_COUNT };

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

static void take_reason(struct sup_run *s, enum sup_outcome reason)
{
	if (s->reason == SUP_EXITED)
		s->reason = reason;
}

static void send_signal(struct sup_run *s, int signo)
{
	struct sup_error ignored = { .code = "" };

	if (signo == 0 || signo == SIGKILL) {
		take_reason(s, SUP_KILLED);
		return;
	}
	if (signo >= 64)
		return;
	if (!s->started)
		s->pending_signals |= 1ull << signo;
	else if (s->request.mode == SUP_MODE_RUN)
		s->tool[s->tools++ % SUP_RUN_TOOLS] = sup_spawn_kill(&s->spawn, &s->dir, signo, &ignored);
	else if (s->request.mode == SUP_MODE_EXEC)
		sup_exec_signal(&s->exec, signo);
}

/*
 * A box is leased to one program, which may get less than the box could have; or a prepared program is taken into use: its
 * time, its output and its use of the box count from now.
 */
static void lease(struct sup_run *s, const unsigned char *payload, uint32_t n)
{
	if (!s->started || sup_request_update(&s->request, (const char *)payload, n, &s->error) < 0)
		return;
	if (s->request.mode == SUP_MODE_EXEC) {
		sup_pump_restart(&s->pump, &s->request);
		sup_exec_restart(&s->exec);
		s->start = sbx_time_now();
	} else {
		sup_cgroup_update(&s->cgroup, &s->request);
		sup_cgroup_started(&s->cgroup);
	}
}

static void count_programs(struct sup_run *s, bool begins)
{
	s->programs += begins ? 1u : s->programs ? -1u : 0u;
	s->idle_since = sbx_time_now();
}

/* What has already been received, perhaps together with the request. */
static void take_frames(struct sup_run *s)
{
	uint8_t type;
	const unsigned char *payload;
	uint32_t n;
	int rc;

	while ((rc = sup_host_next(s->host, &type, &payload, &n)) > 0) {
		if (type == SBX_WIRE_STDIN)	/* an answer to what the guest wrote, perhaps: a talk is no flood */
			s->pace_output = (struct sup_pace){ 0 };
		if (type == SBX_WIRE_STDIN && sup_pump_feed(&s->pump, payload, n) < 0)
			s->host_gone = true;
		else if (type == SBX_WIRE_STDIN_END)
			sup_pump_feed_end(&s->pump);
		else if (type == SBX_WIRE_KILL)
			send_signal(s, n ? payload[0] : 0);
		else if (type == SBX_WIRE_LEASE)
			lease(s, payload, n);
		else if (type == SBX_WIRE_BUSY)
			count_programs(s, n && payload[0]);
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

/* What tells of the guest's start and end: the trace, or the box's control socket. */
static void serve_guest(struct sup_run *s)
{
	if (s->request.mode == SUP_MODE_EXEC)
		sup_exec_serve(&s->exec, &s->trace, &s->error);
	else
		sup_trace_read(&s->trace);
}

/* Whether the guest goes on, as far as is known. */
static bool goes_on(const struct sup_run *s)
{
	if (sup_error_set(&s->error))
		return false;
	if (s->stats >= 0)	/* a box */
		return s->child > 0;
	return !s->trace.ended && (s->request.mode == SUP_MODE_EXEC ? !s->exec.gone : s->child > 0);
}

static void serve_start(struct sup_run *s)
{
	if (s->started || ((s->request.trace || s->request.mode == SUP_MODE_EXEC) && !s->trace.started))
		return;
	s->started = true;
	s->start = s->idle_since = sbx_time_now();
	sup_slot_release(&s->slot);
	if (s->request.mode == SUP_MODE_RUN) {
		sup_meter_start(&s->meter);
		sup_gofer_find(&s->gofer, s->child);
		if (!s->request.cpus_later)
			sup_cgroup_started(&s->cgroup);
	}
	if (s->stats >= 0)	/* before the host can send somebody who reads it */
		sup_report_stats(s, false);
	if (s->request.mode != SUP_MODE_TOOL)
		sup_report_started(s);
	for (int signo = 1; signo < 64; signo++)
		if (s->pending_signals >> signo & 1)
			send_signal(s, signo);
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
	if (s->started || n == 0 || s->request.mode == SUP_MODE_EXEC)
		return !s->started && s->request.cli;	/* left in the pipe until the program is known to have begun */
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
		take_reason(s, SUP_OUTPUT_EXCEEDED);
}

/* Nothing happens in a box that has no program and none's descendants: its memory need not be read so often. */
static double tick(const struct sup_run *s)
{
	return s->stats >= 0 && !s->programs && !s->tree->live && !s->tree->lost ? IDLE_TICK : MEMORY_TICK;
}

/* By the clock, not by the event; and when a program of a box has ended, for its result is waiting for that. */
static void serve_meter(struct sup_run *s, double now)
{
	const struct sup_request *r = &s->request;
	uint32_t ends = s->tree ? s->tree->ends : 0;

	if (now < s->metered + tick(s) && ends == s->metered_ends)
		return;
	s->metered = now;
	s->metered_ends = ends;
	sup_meter_memory(&s->meter);
	if (r->memory && s->meter.memory > r->memory)
		take_reason(s, SUP_OOM_KILLED);
	if (r->cpu_time > 0 && now >= s->next_cpu) {
		s->next_cpu = now + CPU_TICK;
		sup_meter_cpu(&s->meter);
		if (s->meter.cpu > r->cpu_time)
			take_reason(s, SUP_CPU_EXCEEDED);
	}
	if (s->stats >= 0)
		sup_report_stats(s, false);
}

static void serve_limits(struct sup_run *s, double now)
{
	const struct sup_request *r = &s->request;

	if (!s->started) {
		if (now >= s->spawned + r->boot_timeout)
			take_reason(s, SUP_BOOT_TIMEOUT);
		return;
	}
	if (r->timeout > 0 && now >= s->start + r->timeout)
		take_reason(s, SUP_TIMED_OUT);
	if (r->mode == SUP_MODE_EXEC && r->whole_box && r->cpu_time > 0 && now >= s->next_cpu) {
		s->next_cpu = now + CPU_TICK;
		if (sup_stats_read(s->exec.stats).cpu - s->exec.before.cpu > r->cpu_time)
			take_reason(s, SUP_CPU_EXCEEDED);
	}
	if (r->idle_timeout > 0 && !s->programs && now >= s->idle_since + r->idle_timeout)
		take_reason(s, SUP_TIMED_OUT);
	if (r->mode != SUP_MODE_RUN)
		return;
	/*
	 * An exit is told before it makes room for another task, so no count is above what there was. Where events were lost, nothing
	 * is known.
	 */
	if (r->pids && !s->trace.lossy && s->trace.peak > 0 && (uint64_t)s->trace.peak > r->pids + (r->guest ? 1 : 0))
		take_reason(s, SUP_PIDS_EXCEEDED);
	serve_meter(s, now);
}

static double sooner(double a, double b)
{
	return a < b ? a : b;
}

/* Milliseconds until something is due by the clock, rounded up. */
static int until_next(const struct sup_run *s, double now)
{
	double due = s->started ? now + 3600 : s->spawned + s->request.boot_timeout;

	if (s->started && s->request.mode == SUP_MODE_RUN)
		due = s->metered + tick(s);
	if (s->started && s->request.mode == SUP_MODE_EXEC && s->request.cpu_time > 0)
		due = now + CPU_TICK;
	if (s->request.cli)	/* its start is a file that appears */
		due = sooner(due, now + MEMORY_TICK);
	if (s->started && s->request.timeout > 0)
		due = sooner(due, s->start + s->request.timeout);
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
	p[P_HOST].events = (short)(POLLIN | (s->host->out_len ? POLLOUT : 0));
	p[P_HOST_PID].fd = s->host->pidfd;
	p[P_LINE].fd = s->host->line;
	p[P_OUT].fd = output && sup_pump_wants(&out[0], s->host) ? out[0].fd : -1;
	p[P_ERR].fd = output && sup_pump_wants(&out[1], s->host) ? out[1].fd : -1;
	p[P_IN].fd = s->pump.in_len ? s->pump.in_fd : -1;
	p[P_IN].events = POLLOUT;
	p[P_LISTEN].fd = s->request.trace && s->trace.conn < 0 && !s->trace.closed ? s->trace.listener : -1;
	p[P_TRACE].fd = s->request.trace && now >= s->pace_trace.until ? s->trace.conn : -1;
	p[P_SIGNALS].fd = s->signals;
	p[P_GOFER].fd = s->gofer.fd;
	if (s->request.mode == SUP_MODE_EXEC) {
		p[P_LISTEN].fd = s->exec.report;
		p[P_TRACE].fd = s->exec.wait.fd;
	}
}

/* What was told before counts: an end of the guest's own is told before its sandbox lets go of the gofer. */
static void gofer_ended(struct sup_run *s)
{
	serve_guest(s);
	sup_gofer_ended(&s->gofer, s->meter.pidfd, s->trace.ended);
}

static void serve(struct sup_run *s, struct pollfd p[P_COUNT])
{
	struct signalfd_siginfo info;

	if (p[P_GOFER].revents)
		gofer_ended(s);
	if (p[P_TRACE].revents || p[P_LISTEN].revents || s->request.cli)
		serve_guest(s);
	if (p[P_TRACE].revents && s->started)
		pace(&s->pace_trace, TRACE_WHILE);
	if (s->spawned > 0)
		serve_start(s);
	if (p[P_HOST].revents & (POLLIN | POLLHUP | POLLERR))
		serve_host(s);
	if (p[P_HOST_PID].revents)
		s->host_gone = true;
	for (int signo; p[P_LINE].revents && (signo = sup_host_signal(s->host)) >= 0;)
		send_signal(s, signo);
	for (unsigned i = 0; i < 2; i++)
		if (p[P_OUT + i].revents)
			serve_stream(s, &s->pump.out[i]);
	sup_pump_stdin(&s->pump, s->host);
	if (sup_host_flush(s->host) < 0)
		s->host_gone = true;
	if (p[P_SIGNALS].revents) {
		while (read(s->signals, &info, sizeof(info)) > 0)
			;
		(void)sup_run_reap(s);
		if (s->request.trace)	/* what it told before runsc's end counts; or a program's supervisor wants to know */
			sup_trace_read(&s->trace);
		if (s->spawned > 0)
			serve_start(s);
	}
}

bool sup_loop_turn(struct sup_run *s)
{
	struct pollfd p[P_COUNT];
	double began = sbx_time_now();

	take_frames(s);
	while (!s->host_gone && s->reason == SUP_EXITED &&
	       !sup_slot_try(&s->slot, s->request.state_dir)) {
		fill(s, p);
		if (poll(p, P_COUNT, SUP_SLOT_RETRY) < 0 && errno != EINTR)
			break;
		serve(s, p);
	}
	s->queued += sbx_time_now() - began;
	return !s->host_gone && s->reason == SUP_EXITED;
}

void sup_loop_run(struct sup_run *s)
{
	struct pollfd p[P_COUNT];

	take_frames(s);
	sup_pump_stdin(&s->pump, s->host);
	if (s->request.mode == SUP_MODE_EXEC) {
		serve_guest(s);
		serve_start(s);
	}
	while (!s->host_gone && goes_on(s) && s->reason == SUP_EXITED) {
		fill(s, p);
		if (poll(p, P_COUNT, until_next(s, sbx_time_now())) < 0 && errno != EINTR)
			break;
		serve(s, p);
		if (goes_on(s))	/* an end that was told comes before a deadline of that moment */
			serve_limits(s, sbx_time_now());
		if (s->tree)
			s->tree->turns++;
	}
	s->end = sbx_time_now();
	if (s->trace.ended && s->reason == SUP_EXITED && WIFSIGNALED(s->trace.status) && WTERMSIG(s->trace.status) == SIGKILL &&
	    s->gofer.fd >= 0 && poll(&(struct pollfd){ .fd = s->gofer.fd, .events = POLLIN }, 1, GOFER_MS) > 0)
		gofer_ended(s);
	/* What was written in the last moment counts as well. */
	if (s->request.output_kill && s->reason == SUP_EXITED && !s->host_gone) {
		(void)sup_loop_drain(s);
		if (s->pump.out[0].truncated || s->pump.out[1].truncated)
			take_reason(s, SUP_OUTPUT_EXCEEDED);
	}
}

bool sup_loop_drain(struct sup_run *s)
{
	bool empty = true;

	if (!s->started)
		return true;
	for (unsigned i = 0; i < 2; i++) {
		struct sup_stream *stream = &s->pump.out[i];

		/*
		 * As much as a pipe can hold, no more: what is still written after the end is nobody's output. Nor is what
		 * comes when the tail is on its way.
		 */
		for (unsigned n = 0; !stream->sent && n < DRAIN_READS && sup_pump_read(stream, s->host) > 0; n++)
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
