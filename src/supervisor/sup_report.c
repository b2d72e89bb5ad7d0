/* SPDX-License-Identifier: MIT */
#include "sup_run.h"

#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "sbx_time.h"
#include "sup_log.h"

/* A list of "key=value\0" being written. */
struct list {
	char text[8192];
	size_t n;
};

static void add(struct list *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void add(struct list *l, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(l->text + l->n, sizeof(l->text) - l->n, fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(l->text) - l->n)
		l->n += (size_t)n + 1;
}

static void add_limit(struct list *l, const char *name, const char *by, int hit)
{
	if (by)
		add(l, "enforced.%s=%s", name, by);
	if (hit >= 0)
		add(l, "hit.%s=%d", name, hit);
}

static const char *cgroup_name(uint32_t version)
{
	return version == SUP_CGROUP_V1 ? "cgroup1" : "cgroup2";
}

/* What was not told may have been it: -1. */
static int known(const struct sup_run *s, bool hit)
{
	return !hit && s->trace.lossy ? -1 : hit;
}

static int pids_exceeded(const struct sup_run *s, struct sup_verdict v)
{
	return s->request.pids ? known(s, s->trace.failed_forks > 0 || v.outcome == SUP_PIDS_EXCEEDED) : 0;
}

/*
 * A host tmpfs tells whether it is full, and the trace whether a call was refused; a layer in the sentry's memory does not: one who takes
 * a part of what he wanted to write for an answer may have filled it.
 */
static int disk_full(const struct sup_run *s, struct sup_stats u)
{
	const struct sup_request *r = &s->request;
	bool counted = r->disk_by && !strcmp(r->disk_by, "tmpfs");

	if (!counted && (!r->tell_space || (!u.disk_full && u.short_writes)))
		return -1;
	return known(s, u.disk_full > 0);
}

/* A box's memory is its own supervisor's to read: without that there would be no box. */
static const char *memory_by(const struct sup_run *s, struct sup_stats u)
{
	if (s->meter.knows || (s->request.mode != SUP_MODE_RUN && s->request.mode != SUP_MODE_BOX))
		return "supervisor";
	return s->cgroup.memory >= 0 ? cgroup_name(u.cgroup) : NULL;
}

static void add_limits(struct list *l, struct sup_run *s, struct sup_verdict v, struct sup_stats u)
{
	const struct sup_request *r = &s->request;

	if (r->timeout > 0)
		add_limit(l, "timeout", "supervisor", v.outcome == SUP_TIMED_OUT);
	if (r->cpu_time > 0)
		add_limit(l, "cpu_time", "supervisor", v.outcome == SUP_CPU_EXCEEDED);
	if (r->memory)
		add_limit(l, "memory", memory_by(s, u), v.outcome == SUP_OOM_KILLED);
	if (r->pids)
		add_limit(l, "pids", "rlimit", pids_exceeded(s, v));
	if (r->cpus > 0)
		add_limit(l, "cpus", u.cpus_held ? cgroup_name(u.cgroup) : sup_spawn_affinity(r->cpus) == 0 ? "affinity" : NULL,
			  u.cpus_held ? u.throttled > 0 : -1);
	if (r->disk)
		add_limit(l, "disk", r->disk_by, disk_full(s, u));
	if (r->inodes_held)
		add_limit(l, "inodes", "tmpfs", s->meter.inodes_full ? 1 : -1);
	/* SIGXFSZ of the first process is certain; a program that handles EFBIG leaves no trace. */
	if (r->file_size)
		add_limit(l, "file_size", "rlimit", v.outcome == SUP_SIGNALED && v.code == 25 ? 1 : -1);
	if (r->open_files)
		add_limit(l, "open_files", "rlimit", -1);
	if (r->stack)
		add_limit(l, "stack", "rlimit", -1);
	if (r->address_space)
		add_limit(l, "address_space", "rlimit", -1);
}

static double boot_duration(const struct sup_run *s)
{
	return (s->started ? s->start : sbx_time_now()) - s->born - s->queued;
}

static void add_usage(struct list *l, struct sup_run *s, struct sup_verdict v)
{
	add(l, "boot_duration=%.6f", boot_duration(s));
	add(l, "queue_duration=%.6f", s->queued);
	add(l, "duration=%.6f", s->end > s->start ? s->end - s->start : 0.0);
	if (s->meter.cpu >= 0)
		add(l, "cpu_time=%.6f", s->meter.cpu);
	if (s->meter.baseline)
		add(l, "peak_memory=%llu", (unsigned long long)s->meter.memory_peak);
	int ours = s->kind != &sup_kind_run ? 0 : s->request.ours < 2 ? (int)s->request.ours : 2;	/* a third is there for a moment only */

	if (s->trace.peak > ours && !s->trace.lossy)
		add(l, "peak_pids=%d", s->trace.peak - ours);
	if (pids_exceeded(s, v) >= 0)
		add(l, "pids_exceeded=%d", pids_exceeded(s, v));
}

/* Of a program in a box: what its box's has counted meanwhile, and which events are of that time, by their ids. */
static void add_network(struct list *l, const struct sup_run *s)
{
	const struct sup_net *n = &s->net;
	struct sbx_net_counters c, now;

	if (!n->counters && !s->exec.net)
		return;
	now = n->counters ? *n->counters : *s->exec.net;
	c = n->counters ? now : sup_net_between(s->exec.net_before, now);
	add(l, "network.connections=%llu", (unsigned long long)c.connections);
	add(l, "network.refused=%llu", (unsigned long long)c.refused);
	add(l, "network.bytes_in=%llu", (unsigned long long)c.bytes_in);
	add(l, "network.bytes_out=%llu", (unsigned long long)c.bytes_out);
	add(l, "network.exceeded=%llu", (unsigned long long)c.exceeded);
	add(l, "network.held=%.6f", (double)c.held / 1e6);
	add(l, "network.lost=%llu", (unsigned long long)c.lost + n->lost);
	add(l, "network.failed=%d", n->failed);
	if (n->counters)
		return;
	add(l, "network.from=%llu", (unsigned long long)s->exec.net_before.connections + s->exec.net_before.refused);
	add(l, "network.to=%llu", (unsigned long long)now.connections + now.refused);
}

static void add_outcome(struct list *l, struct sup_verdict v)
{
	add(l, "status=%s", sup_judge_status(v.outcome));
	if (v.outcome == SUP_EXITED)
		add(l, "exit_code=%d", v.code);
	if (v.outcome == SUP_SIGNALED)
		add(l, "signal=%d", v.code);
	if (v.outcome == SUP_PIDS_EXCEEDED)
		add(l, "killed_for=pids");
	if (v.outcome == SUP_IDLE)
		add(l, "killed_for=idle_timeout");
}

static void explain_failure(struct sup_run *s, enum sup_outcome o, const char *logged)
{
	const char *platform = s->request.platform ? s->request.platform : "?";
	int st = s->child_status;

	if (o == SUP_BOOT_TIMEOUT)
		(void)sup_error(&s->error, "boot_timeout", "the sandbox did not boot within %g s (platform %s)",
				s->request.boot_timeout, platform);
	else if (*logged && s->started)
		(void)sup_error(&s->error, "runsc_failed", "the sandbox died: %s", logged);
	else if (*logged)
		sup_log_explain(logged, &s->error);
	else if (o == SUP_CRASHED)
		(void)sup_error(&s->error, "runsc_failed", "the sandbox died: it crashed, or was killed from outside");
	else if (WIFSIGNALED(st))
		(void)sup_error(&s->error, "runsc_failed", "runsc died of signal %d before the program started", WTERMSIG(st));
	else if (WEXITSTATUS(st) == SUP_SPAWN_NO_CGROUP && s->cgroup.n)
		(void)sup_error(&s->error, "system", "could not enter the run's cgroups");
	else if (WEXITSTATUS(st) == SUP_SPAWN_NO_EXEC)
		(void)sup_error(&s->error, "runsc_failed", "the kernel did not execute %s: no memory for it, or no program for this machine", s->request.runsc);
	else
		(void)sup_error(&s->error, "runsc_failed", "runsc ended with status %d before the program started",
				WEXITSTATUS(st));
}

/* Whether a sandbox that died without a word was the prey of the machine's own limits; then it was killed, by them. */
static bool struck(struct sup_run *s, struct sup_verdict *v, const char *logged, char *who, size_t size)
{
	bool told = v->outcome == SUP_SIGNALED || (v->outcome == SUP_EXITED && v->code != 0);

	if (!s->kind->boots || (!told && v->outcome != SUP_CRASHED && v->outcome != SUP_NOT_STARTED))
		return false;
	if (!sup_outer_killed(&s->outer, &s->cgroup, told, who, size) && (told || !sup_outer_refused(&s->cgroup, logged, who, size)))
		return false;
	if (s->started)
		v->outcome = SUP_KILLED;
	else
		(void)sup_error(&s->error, strncmp(who, "RLIMIT", 6) ? "system" : "not_supported", "the sandbox could not start: %s", who);
	return s->started;
}

/* What is known before the teardown takes its sources away; the streams may still be draining. */
static struct list result;

void sup_report_judge(struct sup_run *s)
{
	char said[SUP_KIND_SAID] = "", who[320];
	struct sup_facts f = {
		.reason = s->reason, .started = s->started, .guest_ended = s->trace.ended, .guest_told = s->trace.told, .lossy = s->trace.lossy,
		.guest_status = s->trace.status, .runsc_ended = s->child < 0, .runsc_status = s->child_status,
	};

	result.n = 0;
	if (sup_error_set(&s->error) || !s->kind)
		return;
	if (s->removed >= 0) {
		add(&result, "removed=%d", s->removed);
		return;
	}
	s->kind->facts(s, &f, said);
	if (sup_error_set(&s->error))
		return;
	struct sup_verdict v = sup_judge(&f);

	if (struck(s, &v, said, who, sizeof(who)))
		add(&result, "killed_by=%s", who);
	if (!sup_judge_status(v.outcome) || (v.outcome != SUP_KILLED && !s->started)) {
		explain_failure(s, v.outcome, said);
		return;
	}
	struct sup_stats u = s->kind->usage(s);

	add_outcome(&result, v);
	add_usage(&result, s, v);
	add_limits(&result, s, v, u);
	add_network(&result, s);
	add(&result, "cgroup=%s", u.cgroup == SUP_CGROUP_NONE ? "none" : u.cgroup == SUP_CGROUP_V1 ? "v1" : "v2");
	if (s->cgroup.why[0])
		add(&result, "cgroup_reason=%s", s->cgroup.why);
	if (s->exec.destroyed)
		add(&result, "box_destroyed=1");
	add(&result, "rootless=%d", s->request.rootless);
}

static void add_streams(struct list *l, const struct sup_run *s)
{
	const struct sup_stream *out = s->pump.out;

	for (unsigned i = 0; i < 2; i++) {
		add(l, "%s_bytes=%llu", i ? "stderr" : "stdout", (unsigned long long)out[i].bytes);
		add(l, "%s_truncated=%d", i ? "stderr" : "stdout", out[i].truncated);
	}
	if (s->request.output)
		add_limit(l, "output", "supervisor", out[0].truncated || out[1].truncated);
}

/* Every piece has been asked for by now. Part of an output is no result: its reader would take it for all. */
static void find_lost_output(struct sup_run *s)
{
	for (unsigned i = 0; i < 2; i++)
		if (s->pump.out[i].failed && !sup_error_set(&s->error))
			(void)sup_error(&s->error, "system", "the program's %s cannot be read: %s", i ? "stderr" : "stdout", strerror(s->pump.out[i].failed));
}

bool sup_report(struct sup_run *s)
{
	struct list l = result;

	find_lost_output(s);
	if (sup_error_set(&s->error)) {
		l.n = 0;
		add(&l, "error=%s", s->error.code);
		add(&l, "message=%s", s->error.message);
	} else if (s->removed < 0) {
		add_streams(&l, s);
	}
	return sup_host_put(s->host, SBX_WIRE_RESULT, l.text, (uint32_t)l.n);
}

void sup_report_stats(struct sup_run *s, bool ended)
{
	double now = sbx_time_now();

	/* A file as root, a walk over all processes else. */
	if ((s->programs || s->tree->live || ended) && now >= s->next_cpu) {
		s->next_cpu = now + (s->cgroup.cpuacct >= 0 ? 0.01 : 0.05);
		sup_meter_cpu(&s->meter);
	}
	struct sup_stats u = s->kind->usage(s);

	/* The kernel's kill may have come before a reading of ours. */
	if (ended)
		u.ended = 1 + (uint32_t)(s->reason != SUP_EXITED ? s->reason : sup_cgroup_oom_kills(&s->cgroup) ? SUP_OOM_KILLED :
					 s->trace.ended ? SUP_EXITED : SUP_CRASHED);
	sup_stats_write(s->stats, &u);
}

void sup_report_started(struct sup_run *s)
{
	struct list l = { .n = 0 };

	add(&l, "boot_duration=%.6f", boot_duration(s));
	add(&l, "pid=%d", (int)s->child);
	add(&l, "quota=%d", s->cgroup.cpus_held);
	if (s->exec.pid)
		add(&l, "guest_pid=%d", s->exec.pid);
	(void)(s->exec.pid ? sup_host_put_later : sup_host_put)(s->host, SBX_WIRE_STARTED, l.text, (uint32_t)l.n);
}
