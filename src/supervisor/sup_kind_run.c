/* SPDX-License-Identifier: MIT */
#include "sup_kind.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sbx_word.h"
#include "sup_gather.h"
#include "sup_log.h"
#include "sup_mount.h"
#include "sup_rlimit.h"
#include "sup_run.h"
#include "sup_sweep.h"

/*
 * What we were refused so often and for so long after the start cannot be read at all; while a sandbox boots, some refusals pass, and
 * one with a long command line has no memory of its own for a while.
 */
#define KNOWN_SECONDS 1.0
#define KNOWN_TRIES 60
#define MEMORY_TICK 0.005
#define CPU_TICK 0.010
#define IDLE_TICK 0.25

/* The binary is read ahead from outside the memory cgroup: a small group would thrash on runsc's own pages. */
static void read_ahead(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	(void)posix_fadvise(fd, 0, 0, POSIX_FADV_WILLNEED);
	close(fd);
}

static int limits_held(struct sup_run *s)
{
	const struct sup_request *r = &s->request;

	if (r->best_effort)
		return 0;
	if (r->cgroup_parent && r->cgroup_parent[0] == '/' && !s->cgroup.n)
		return sup_error(&s->error, "not_supported", "cgroup_parent %.200s cannot be used: %s; or set limits.best_effort",
				 r->cgroup_parent, s->cgroup.why[0] ? s->cgroup.why : "it is not there (mkdir)");
	if (r->cpus > 0 && !s->cgroup.cpus_held && sup_spawn_affinity(r->cpus) < 0)
		return sup_error(&s->error, "limit_unavailable",
				 "limits.cpus = %g needs a cpu cgroup (without one only whole cores can be held): %s; or set"
				 " limits.best_effort", r->cpus, s->cgroup.why[0] ? s->cgroup.why :
				 "the cpu controller is not enabled (echo +cpu >cgroup.subtree_control above it)");
	return 0;
}

/* All that is around the guest, in the run's directory. */
static int compose(struct sup_run *s)
{
	struct sup_request *r = &s->request;

	sup_cgroup_make(&s->cgroup, r, s->dir.fd);
	if (s->cgroup.memory >= 0)
		read_ahead(r->runsc);
	if (limits_held(s) < 0 || (r->net && sup_net_begin(&s->net, r, &s->dir, &s->cgroup, &s->error) < 0) || sup_mount_unshare(r, &s->error) < 0 ||
	    (r->net && sup_net_link(&s->net, r, &s->error) < 0))
		return -1;
	if (sup_dir_reopen(&s->dir) < 0)
		return sup_error(&s->error, "system", "%s has been taken away", s->dir.path);
	if (sup_mount_compose(r, &s->dir, &s->volumes, &s->error) < 0)
		return -1;
	if (r->trace && sup_trace_init(&s->trace, &s->dir, r->tell_space, r->word ? strtoull(r->word, NULL, 16) : 0, &s->error) < 0)
		return -1;
	s->trace.tree = s->tree;
	return 0;
}

static int prepare(struct sup_run *s)
{
	if (sup_rlimit_check(&s->request, &s->error) < 0 || (s->request.hold && sup_hold_open(&s->hold, s->request.hold, &s->error) < 0))
		return -1;
	if (sup_volume_hold(&s->volumes, &s->request, s->host, &s->error) < 0)
		return -1;
	s->queued = s->request.boot_delay;
	if (s->request.boot_delay > 0 && sup_host_sleep(s->host, s->request.boot_delay) < 0)
		return sup_error(&s->error, "closed", "the host has gone");
	return sup_dir_make(&s->dir, &s->request, &s->error);
}

/* What those need who start something in the sandbox while it lives. */
static int make_record(struct sup_run *s)
{
	s->stats = sup_stats_make(s->dir.fd);
	s->tree = s->stats < 0 ? NULL : sup_tree_make(s->dir.fd, s->request.mode == SUP_MODE_RUN);
	if (!s->tree || sup_programs_make(&s->record, s->dir.fd) < 0)
		return sup_error(&s->error, "system", "cannot make the sandbox's record: %s", strerror(errno));
	return 0;
}

static int prepare_run(struct sup_run *s)
{
	return prepare(s) < 0 || (s->request.reach && make_record(s) < 0) ? -1 : compose(s);
}

/* The record first: who comes for a box that still boots looks for it. */
static int prepare_box(struct sup_run *s)
{
	return prepare(s) < 0 || make_record(s) < 0 ? -1 : compose(s);
}

static int config(struct sup_run *s, const void *bytes, uint32_t n)
{
	if (sup_dir_write(&s->dir, "b/config.json", bytes, n) < 0)
		return sup_error(&s->error, "system", "cannot write config.json: %s", strerror(errno));
	return 0;
}

static int start(struct sup_run *s)
{
	if (s->request.net && sup_net_ready(&s->net, &s->dir, &s->error) < 0)
		return -1;
	s->spawn.cgroup = &s->cgroup;
	s->spawn.gather = sup_gather_can(&s->cgroup, &s->request);
	s->child = sup_spawn_run(&s->spawn, &s->dir, &s->error);
	if (s->child < 0)
		return -1;
	sup_outer_init(&s->outer);
	sup_meter_init(&s->meter, &s->request, &s->dir, &s->cgroup, s->child);
	s->trace.started = !s->request.trace;	/* nobody tells: it is taken as begun */
	return 0;
}

static void polled(const struct sup_run *s, struct pollfd p[SUP_KIND_POLL])
{
	p[0].fd = s->trace.conn < 0 && !s->trace.closed ? s->trace.listener : -1;
	p[1].fd = s->trace.conn;
	p[2].fd = s->gofer.fd;
}

/* What was told before the gofer's end counts: an end of the guest's own is told before its sandbox lets go of the gofer. */
static void serve(struct sup_run *s)
{
	bool gofer = sup_gofer_ended(&s->gofer), ended = s->trace.ended;

	sup_trace_read(&s->trace);
	if (s->trace.asked && (!s->spawn.gather || sup_gather_all(&s->cgroup, &s->error) == 0))
		sup_trace_answer(&s->trace);
	if (gofer)
		sup_gofer_look(&s->gofer, s->meter.pidfd, ended || (s->gofer.told && s->trace.ended));
}

static void started(struct sup_run *s)
{
	if (s->tree)
		sup_report_stats(s, false);	/* before the host can send somebody who reads it */
	sup_meter_start(&s->meter);
	sup_gofer_find(&s->gofer, s->child, s->meter.pidfd, s->trace.conn);
	if (!s->request.cpus_later)
		sup_cgroup_started(&s->cgroup);
	sup_report_started(s);
}


static bool box_goes_on(const struct sup_run *s)
{
	return s->child > 0;
}

static bool goes_on(const struct sup_run *s)
{
	return !s->trace.ended && s->child > 0;
}

static double due(const struct sup_run *s, double now)
{
	return s->started ? s->metered + MEMORY_TICK : now + 3600;
}

/* Nothing happens in a box that has no program and none's descendants: its memory need not be read so often. */
static double box_tick(const struct sup_run *s)
{
	return !s->programs && !s->tree->live && !s->tree->lost ? IDLE_TICK : MEMORY_TICK;
}

static double box_due(const struct sup_run *s, double now)
{
	return s->started ? s->metered + box_tick(s) : now + 3600;
}

static void judge_usage(struct sup_run *s, double now)
{
	const struct sup_request *r = &s->request;

	if (r->memory && s->meter.memory > r->memory)
		sup_run_end(s, SUP_OOM_KILLED);
	if (r->memory && !r->best_effort && s->cgroup.memory < 0 && !s->meter.knows && now > s->start +
	    (s->meter.refused > KNOWN_TRIES ? KNOWN_SECONDS : r->boot_timeout))
		(void)sup_error(&s->error, "limit_unavailable", "limits.memory cannot be held: the memory of the sandbox's processes cannot be"
				" read here, and there is no memory cgroup (mount /proc without hidepid, or set limits.best_effort)");
	if (r->cpu_time > 0 && now >= s->next_cpu) {
		s->next_cpu = now + CPU_TICK;
		sup_meter_cpu(&s->meter);
		if (s->meter.cpu > r->cpu_time)
			sup_run_end(s, SUP_CPU_EXCEEDED);
	}
}

/* By the clock, not by the event. */
static void meter(struct sup_run *s, double now)
{
	s->metered = now;
	sup_meter_memory(&s->meter);
	judge_usage(s, now);
}

/* For somebody who has asked, or whose program has ended and its result waits. */
static bool answer(struct sup_run *s, double now)
{
	if (!s->asked && s->tree->ends == s->metered_ends)
		return false;
	s->asked = false;
	s->metered_ends = s->tree->ends;
	sup_meter_memory_soon(&s->meter);
	judge_usage(s, now);
	return true;
}

/*
 * An exit is told before it makes room for another task, so no count is above what there was. Where events were lost, nothing is
 * known. `own`: what is ours of them.
 */
static void count_tasks(struct sup_run *s, unsigned own)
{
	if (s->request.pids && !s->trace.lossy && !(s->tree && s->tree->first && s->tree->lost) && s->trace.peak > 0 && (uint64_t)s->trace.peak > s->request.pids + own)
		sup_run_end(s, SUP_PIDS_EXCEEDED);
}

#define ADOPT_TICK 0.05	/* a lock is tried for each program */

/* A program whose supervisor has died does not live on. Where it cannot be killed alone, it dies with the box. */
static void kill_orphans(struct sup_run *s, double now)
{
	if (!s->killer && now < s->next_adopt)
		return;
	s->next_adopt = now + ADOPT_TICK;
	if (!s->killer && sup_programs_adopt(&s->record)) {
		s->killer = sup_exec_kill_orphan(&s->record, &s->spawn, &s->dir, s->tree, s->child);
		if (s->killer < 0)
			sup_run_end(s, SUP_KILLED);
	} else if (s->killer < 0) {
		if (s->killer_status != 0)
			sup_run_end(s, SUP_KILLED);
		sup_programs_leave(&s->record);
		s->killer = 0;
	}
}

static void limits(struct sup_run *s, double now)
{
	if (!s->started)
		return;
	if (s->tree)
		kill_orphans(s, now);
	count_tasks(s, s->request.ours);
	if (s->tree) {
		(void)answer(s, now);
		sup_tree_turn(s->tree);
	}
	if (now >= s->metered + MEMORY_TICK)
		meter(s, now);
}

/* Who asks what a program died of is told that the box has died: without its gofer the sentry kills all that runs in it. */
static void lost_gofer(struct sup_run *s)
{
	if (s->asked)
		sup_gofer_look(&s->gofer, s->meter.pidfd, false);
	if (s->gofer.killed)
		sup_run_end(s, SUP_CRASHED);
}

static void limits_box(struct sup_run *s, double now)
{
	const struct sup_request *r = &s->request;

	if (!s->started)
		return;
	lost_gofer(s);
	kill_orphans(s, now);
	unsigned kept = sup_programs_kept(&s->record);

	if (kept)	/* whether or not a host still tells of them */
		s->idle_since = now;
	if (r->idle_timeout > 0 && !s->programs && now >= s->idle_since + r->idle_timeout)
		sup_run_end(s, SUP_IDLE);
	/* The first process, and a helper at each program's side: others than the user's. */
	count_tasks(s, 1 + (s->programs + kept ? s->programs + kept : 1));
	/* Who waits for the turn reads what it measured, and whether the box ends; what takes longer comes behind it. */
	if (answer(s, now) || s->reason != SUP_EXITED)
		sup_report_stats(s, s->reason != SUP_EXITED);
	sup_tree_turn(s->tree);
	if (now >= s->metered + box_tick(s)) {
		meter(s, now);
		sup_report_stats(s, false);
	}
}

static void send_signal(struct sup_run *s, int signo)
{
	struct sup_error ignored = { .code = "" };

	s->tool[s->tools++ % SUP_RUN_TOOLS] = sup_spawn_kill(&s->spawn, &s->dir, signo, &ignored);
}

/* A box is leased to one program, which may get less than the box could have. */
static void lease(struct sup_run *s)
{
	sup_cgroup_update(&s->cgroup, &s->request);
	sup_cgroup_started(&s->cgroup);
}

/* Who maps a file gets SIGBUS where the store, which has the size of `memory`, is full: perhaps before a look of ours. */
static void judge_end(struct sup_run *s)
{
	if (s->request.memory && s->trace.ended && WIFSIGNALED(s->trace.status) && s->meter.memory >= s->request.memory)
		sup_run_end(s, SUP_OOM_KILLED);
}

static void stop(struct sup_run *s)
{
	if (s->tree)
		sup_report_stats(s, true);	/* before the kill: the supervisors of what else runs in it read it */
	if (s->trace.ended && s->reason == SUP_EXITED && WIFSIGNALED(s->trace.status) && WTERMSIG(s->trace.status) == SIGKILL)
		sup_gofer_look(&s->gofer, s->meter.pidfd, true);
	if (s->started) {
		sup_meter_memory(&s->meter);
		sup_meter_cpu(&s->meter);
		judge_end(s);
	}
	/* A guest that ended by itself is quiet, and its caller need not wait for our kill; any other must be stopped before its
	 * output can be called whole. */
	if (s->child > 0 && !s->trace.ended) {
		(void)kill(s->child, SIGKILL);
		if (s->reason == SUP_OOM_KILLED)	/* at full speed each ms is some MB more */
			sup_meter_kill(&s->meter);
	}
}

/* The helper that was to become the program has ended as itself, and has said why. */
static bool became_nothing(struct sup_run *s)
{
	uint64_t said = s->trace.refusal;
	char letter = SBX_WORD_LETTER(said);

	if (!said)
		return false;
	if (letter == SBX_WORD_CWD || letter == SBX_WORD_EXECUTE)
		(void)sup_error_command(&s->error, letter == SBX_WORD_CWD, SBX_WORD_ERRNO(said));
	else
		(void)sup_error(&s->error, "system", "the files in the guest cannot be given to its user: %s", strerror(SBX_WORD_ERRNO(said)));
	return true;
}

static void facts(struct sup_run *s, struct sup_facts *f, char said[SUP_KIND_SAID])
{
	char log[16384];

	sup_net_finish(&s->net, s->host);
	f->traced = s->request.trace;
	if (s->reason == SUP_EXITED && became_nothing(s))
		return;
	if (s->gofer.killed && f->reason == SUP_EXITED) {	/* and the guest with it: that was not its own end */
		f->guest_ended = false;
		f->runsc_failed = true;
		return;
	}
	f->oom_kills = sup_cgroup_full(&s->cgroup) ? sup_cgroup_oom_kills(&s->cgroup) : 0;
	if (!f->guest_ended && f->reason == SUP_EXITED) {
		size_t n = sup_dir_read(&s->dir, "log", log, sizeof(log));

		f->runsc_failed = sup_log_panicked(&s->dir, said, SUP_KIND_SAID) || sup_log_first_error(log, n, said, SUP_KIND_SAID);
	}
}

/* What the run's own groups and readings tell now. */
static struct sup_stats usage(struct sup_run *s)
{
	int throttled = sup_cgroup_throttled(&s->cgroup);

	return (struct sup_stats){
		.memory_peak = s->meter.memory_peak, .failed_forks = s->trace.failed_forks, .cpu = s->meter.cpu,
		.ends = s->tree ? s->tree->ends : 0, .disk_full = s->meter.disk_full + s->trace.no_space,
		.throttled = throttled > 0 ? (uint32_t)throttled : 0, .peak = s->trace.lossy || s->trace.peak < 0 ? 0 : (uint32_t)s->trace.peak,
		.lost = s->trace.lossy, .short_writes = s->trace.short_writes, .cgroup = s->cgroup.version, .cpus_held = s->cgroup.cpus_held, .pid = s->started && s->child > 0 ? s->child : 0,
	};
}

#define SANDBOX \
	.streams = true, .boots = true, .paced = true, .talk = SUP_TALK_DROP, .config = config, .start = start, .poll = polled, .serve = serve, \
	.signal = send_signal, .facts = facts, .usage = usage

const struct sup_kind sup_kind_run = {
	SANDBOX, .privilege = SUP_PRIVILEGE_RUN, .prepare = prepare_run, .started = started, .goes_on = goes_on, .due = due, .limits = limits, .stop = stop,
};
const struct sup_kind sup_kind_box = {
	SANDBOX, .privilege = SUP_PRIVILEGE_RUN, .prepare = prepare_box, .started = started, .goes_on = box_goes_on, .due = box_due, .limits = limits_box,
	.lease = lease, .stop = stop,
};
