/* SPDX-License-Identifier: MIT */
#include "sup_kind.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "sbx_time.h"
#include "sup_run.h"

#define CPU_TICK 0.010
/* The start of a program by `runsc exec` is a file that appears. */
#define FILE_TICK 0.005

static int config(struct sup_run *s, const void *bytes, uint32_t n)
{
	s->exec_arg = strndup(bytes, n);
	return s->exec_arg ? 0 : sup_error(&s->error, "system", "no memory for the configuration");
}

static int start_control(struct sup_run *s)
{
	return sup_exec_start(&s->exec, &sup_exec_control, s->exec_arg, s->spawn.stdio, &s->error);
}

static int start_command(struct sup_run *s)
{
	s->spawn.cgroup = &s->cgroup;
	return sup_exec_start(&s->exec, &sup_exec_command, s->exec_arg, s->spawn.stdio, &s->error);
}

static void polled(const struct sup_run *s, struct pollfd p[SUP_KIND_POLL])
{
	sup_exec_poll(&s->exec, p);
}

static void serve(struct sup_run *s)
{
	sup_exec_serve(&s->exec, &s->trace, &s->error);
}

static bool goes_on(const struct sup_run *s)
{
	return !s->trace.ended && !s->exec.gone;
}

static double due(const struct sup_run *s, double now)
{
	return now + (s->started && (s->exec.signals_n || s->request.cpu_time > 0) ? CPU_TICK : 3600);
}

static double due_command(const struct sup_run *s, double now)
{
	return s->started ? due(s, now) : now + FILE_TICK;
}

/* A box that does not answer is no boot that takes long. */
static void answer_in_time(struct sup_run *s, double now)
{
	if (!s->started && now >= s->spawned + s->request.boot_timeout)
		(void)sup_error(&s->error, "closed", "the box does not answer: its program has not begun within %g s", s->request.boot_timeout);
}

static void limits(struct sup_run *s, double now)
{
	const struct sup_request *r = &s->request;

	answer_in_time(s, now);
	if (s->exec.signals_n)
		serve(s);
	if (!s->started || !r->whole_box || r->cpu_time <= 0 || now < s->next_cpu)
		return;
	s->next_cpu = now + CPU_TICK;
	if (sup_stats_read(s->exec.stats).cpu - s->exec.before.cpu > r->cpu_time)
		sup_run_end(s, SUP_CPU_EXCEEDED);
}

static void send_signal(struct sup_run *s, int signo)
{
	sup_exec_signal(&s->exec, signo);
}

/* A prepared program is taken into use: its time, its output and its use of the box count from now. */
static void lease(struct sup_run *s)
{
	if (sup_pump_restart(&s->pump, &s->request) < 0)
		(void)sup_error(&s->error, "system", "no memory for the end of the output");
	sup_pump_first(&s->pump, sup_exec_lease(&s->exec), s->request.code);
	s->start = sbx_time_now();
}

static void stop(struct sup_run *s)
{
	sup_exec_kill(&s->exec, &s->trace);
}

/* A program whose box has gone: out of memory together with it, or an error that says what the box died of. */
static void judge_box(struct sup_run *s)
{
	static const char *const words[] = {
		[SUP_TIMED_OUT] = "its lifetime is over", [SUP_CPU_EXCEEDED] = "its cpu_time is used up", [SUP_KILLED] = "it was stopped",
		[SUP_IDLE] = "its idle_timeout is over", [SUP_EXITED] = "its first process was ended from inside",
	};

	if (!s->exec.gone || s->reason != SUP_EXITED)
		return;
	/* The box's own supervisor, while it lives, knows of what the box died, or will. */
	struct sup_stats now = sup_stats_read(s->exec.stats);

	for (double limit = sbx_time_now() + SUP_EXEC_SECONDS; !now.ended && sup_exec_kept(&s->exec) && sbx_time_now() < limit;) {
		(void)poll(NULL, 0, 1);
		sup_host_answer(s->host);
		now = sup_stats_read(s->exec.stats);
	}
	unsigned end = now.ended ? now.ended - 1 : SUP_CRASHED;

	if (end == SUP_OOM_KILLED || end == SUP_PIDS_EXCEEDED) {
		s->reason = (enum sup_outcome)end;
		s->started = true;
		return;
	}
	(void)sup_error(&s->error, "closed", "the %s: %s", s->request.guest ? "sandbox has ended" : "box has died", end < sizeof(words) / sizeof(words[0]) && words[end] ?
			words[end] : "it crashed, or was killed from outside");
}

static void facts(struct sup_run *s, struct sup_facts *f, char said[SUP_KIND_SAID])
{
	(void)said;
	judge_box(s);
	f->reason = s->reason;
	f->started = s->started;
	f->traced = true;
}

/* What the box alone knows. Memory and CPU time only where the box was all its own. */
static struct sup_stats usage(struct sup_run *s)
{
	struct sup_stats before = s->exec.before, u = sup_exec_measure(&s->exec);

	u.disk_full -= before.disk_full;
	u.short_writes -= before.short_writes;
	u.throttled -= before.throttled;
	s->trace.failed_forks = u.failed_forks - before.failed_forks;
	s->trace.lossy = u.lost > 0;
	if (s->request.whole_box) {
		s->meter.baseline = true;
		s->meter.memory_peak = u.memory_peak;
		s->meter.cpu = u.cpu > before.cpu ? u.cpu - before.cpu : 0;
		/* Without the sandbox's first process and our helper; else it may have been what ran before. */
		uint32_t ours = (s->request.direct || s->request.alone ? 1 : 2) + s->request.ours;

		if (u.peak > ours && (!before.ends || u.peak > before.peak))
			s->trace.peak = (int)(u.peak - ours);
	}
	return u;
}

#define PROGRAM \
	.streams = true, .config = config, .poll = polled, .serve = serve, .started = sup_report_started, .goes_on = goes_on, \
	.limits = limits, .signal = send_signal, .lease = lease, .stop = stop, .facts = facts, .usage = usage

const struct sup_kind sup_kind_exec = { PROGRAM, .start = start_control, .due = due, .privilege = SUP_PRIVILEGE_EXEC };
/* Left in the pipe until the program is known to have begun: it may be runsc's words for why it does not. */
const struct sup_kind sup_kind_command = {
	PROGRAM, .start = start_command, .due = due_command,
	.talk = SUP_TALK_KEEP, .every_turn = true, .privilege = SUP_PRIVILEGE_COMMAND,
};

/* --- one call ------------------------------------------------------------------------------------------------------------- */

static int start_call(struct sup_run *s)
{
	return sup_exec_ask(&s->exec, s->exec_arg, &s->error);
}

/* The answer goes out as if a program had printed it. */
static void serve_call(struct sup_run *s)
{
	char *text = s->trace.ended ? NULL : sup_exec_answer(&s->exec, &s->error);

	if (text && sup_pump_answer(&s->pump, text, strlen(text)) < 0)
		(void)sup_error(&s->error, "system", "no memory for the answer");
	else if (text)
		s->trace.started = s->trace.ended = true;
	free(text);
}

static struct sup_stats no_usage(struct sup_run *s)
{
	(void)s;
	return (struct sup_stats){ 0 };
}

static void facts_call(struct sup_run *s, struct sup_facts *f, char said[SUP_KIND_SAID])
{
	(void)s;
	(void)said;
	f->traced = true;
}

const struct sup_kind sup_kind_call = {
	.config = config, .start = start_call, .poll = polled, .serve = serve_call, .goes_on = goes_on, .limits = answer_in_time,
	.facts = facts_call, .usage = no_usage, .privilege = SUP_PRIVILEGE_EXEC,
};
