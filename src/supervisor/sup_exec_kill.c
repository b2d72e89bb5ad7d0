/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sbx_time.h"

/* -1: the box cannot be reached. Commands need no connection. */
static int connect_to(const struct sup_exec *x, struct sup_control *c)
{
	struct sup_error ignored = { .code = "" };

	return x->way->connects ? sup_control_open(c, x->request, SUP_EXEC_SECONDS, &ignored) : 0;
}

/* The program itself: our helper, which stays its parent, passes on all but this. */
static int below_helper(const struct sup_exec *x)
{
	size_t at = 0;
	int first = 0, pid;

	while (!x->request->direct && !x->request->alone && x->tree && (pid = sup_tree_next(x->tree, x->pid, &at)))
		first = !first || pid < first ? pid : first;
	return first ? first : x->pid;
}

int sup_exec_target(const struct sup_exec *x, int signo)
{
	return signo == SIGSTOP ? below_helper(x) : x->pid;
}

void sup_exec_signal(struct sup_exec *x, int signo)
{
	if (x->pid)
		x->way->signal(x, sup_exec_target(x, signo), signo);
}

/* --- the whole tree ------------------------------------------------------------------------------------------------------- */

/* Until it is looked whether the box's supervisor still lives. */
#define LOOK_SECONDS 0.01
/* Until what was killed is looked for again. */
#define ROUND_SECONDS 0.1

static void destroy_box(struct sup_exec *x)
{
	x->destroyed = true;
	(void)syscall(SYS_pidfd_send_signal, x->runsc, SIGKILL, NULL, 0);
	x->gone = true;
}

static bool wake(const struct sup_exec *x)
{
	return sup_exec_kept(x) && syscall(SYS_pidfd_send_signal, x->keeper, SIGUSR1, NULL, 0) == 0;
}

bool sup_exec_settle(const struct sup_exec *x)
{
	double limit = sbx_time_now() + SUP_EXEC_SECONDS;
	uint32_t asked = sup_tree_ask(x->tree), news = sup_tree_news(x->tree);
	bool kept = wake(x);

	while (kept && !sup_tree_answers(x->tree, asked)) {
		if (sbx_time_now() > limit)
			return false;
		sup_tree_wait(x->tree, news, LOOK_SECONDS);
		news = sup_tree_news(x->tree);
		sup_host_answer(x->host);
		kept = sup_exec_kept(x);
	}
	return kept;
}

/* A box that its host has told to stand still must run for what is to die in it; no program of it is told of that. -1: as below. */
static int lift(struct sup_exec *x, struct sup_control *c)
{
	struct sup_error ignored = { .code = "" };

	if (!sup_programs_lift(&x->programs))
		return 0;
	x->lifted = true;
	/* It was told over the socket, whatever way its programs go. */
	if (c->fd < 0 && sup_control_open(c, x->request, SUP_EXEC_SECONDS, &ignored) < 0)
		return -1;
	sup_programs_shut(&x->programs);
	int rc = sup_exec_control.hold(x, c, false);

	sup_programs_open_gate(&x->programs);
	return rc;
}

static void lower(struct sup_exec *x, struct sup_control *c)
{
	if (x->lifted && !x->gone) {
		sup_programs_shut(&x->programs);
		if (sup_exec_control.hold(x, c, true) == 0 && !sup_programs_lower(&x->programs))
			(void)sup_exec_control.hold(x, c, false);
		sup_programs_open_gate(&x->programs);
	}
	x->lifted = false;
}

/* Kills what there is at the moment. -1: the box does not answer, or not in time. */
static int kill_those(struct sup_exec *x, struct sup_control *c, bool program_lives, double limit)
{
	size_t at = 0;
	int pid;

	if (!sup_exec_settle(x) || (program_lives && x->way->kill(x, c, x->pid) < 0))
		return -1;
	while ((pid = sup_tree_next(x->tree, x->pid, &at)))
		if (sbx_time_now() > limit || x->way->kill(x, c, pid) < 0)
			return -1;
	return 0;
}

/*
 * `still`: in a box that stands still, so that nobody forks away. Only for who has done so, for it is felt by all programs of the box; and
 * the gate is shut until the round is over, for what gVisor lets go on does not do so at once.
 */
static int kill_round(struct sup_exec *x, struct sup_control *c, bool program_lives, bool still, double limit)
{
	if (lift(x, c) < 0)
		return -1;
	if (!still)
		return kill_those(x, c, program_lives, limit);
	sup_programs_shut(&x->programs);
	if (x->way->hold(x, c, true) < 0 || kill_those(x, c, program_lives, limit) < 0)
		return -1;
	return x->way->hold(x, c, false);
}

static bool tree_is_empty(const struct sup_exec *x)
{
	size_t at = 0;

	return !sup_tree_next(x->tree, x->pid, &at);
}

/* Whether nothing of it is left, waiting for that a while. */
static bool all_gone(struct sup_exec *x, struct sup_trace *t)
{
	struct sup_error ignored = { .code = "" };

	for (double round = sbx_time_now() + ROUND_SECONDS; sbx_time_now() < round && !x->gone;) {
		struct pollfd p = { .fd = t->ended ? -1 : x->wait.fd, .events = POLLIN };

		if (t->ended && tree_is_empty(x) && sup_exec_settle(x) && tree_is_empty(x))
			return true;
		(void)poll(&p, 1, 2);
		sup_exec_serve(x, t, &ignored);
		sup_host_answer(x->host);
	}
	return false;
}

/* Until the program has ended and none of its descendants is left. Where not all were told of, that cannot be known. */
static bool kill_all(struct sup_exec *x, struct sup_trace *t, struct sup_control *c)
{
	double limit = sbx_time_now() + SUP_EXEC_SECONDS;
	bool still = false, gone = false;

	while (!gone && !x->gone && !x->tree->lost && sbx_time_now() < limit) {
		if (kill_round(x, c, !t->ended, still, limit) < 0)
			return false;
		gone = all_gone(x, t);
		sup_programs_open_gate(&x->programs);
		still = true;
	}
	return gone && !x->tree->lost;
}

void sup_exec_kill(struct sup_exec *x, struct sup_trace *t)
{
	struct sup_error ignored = { .code = "" };
	struct sup_control c = SUP_CONTROL_NONE;

	/* A program that has been asked for must be there before it can be killed. */
	for (double limit = sbx_time_now() + SUP_EXEC_SECONDS; x->asked && !x->gone && !t->ended && sbx_time_now() < limit;) {
		sup_exec_serve(x, t, &ignored);
		(void)poll(NULL, 0, 1);
		sup_host_answer(x->host);
	}
	if (t->ended || x->gone || (!x->pid && !x->asked))
		return;
	if (!x->pid || connect_to(x, &c) < 0 || !kill_all(x, t, &c))
		destroy_box(x);
	lower(x, &c);
	sup_control_close(&c);
}

/* --- whose supervisor has died -------------------------------------------------------------------------------------------- */

/* The trace tells of its end: nobody asks gVisor any more. */
static void serve_orphan(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	(void)e;
	t->ended = t->ended || sup_tree_status(x->tree, x->pid, &t->status);
}

/* Whether nothing of it is left. What we hold beside is the box's supervisor's, and goes with this process. */
static bool kill_orphan(struct sup_exec *x)
{
	struct sup_control c = SUP_CONTROL_NONE;
	struct sup_error ignored = { .code = "" };
	struct sup_trace t = { .ended = false };

	serve_orphan(x, &t, &ignored);
	if (t.ended)		/* what it left running is the box's, as with any program */
		return true;
	if (!x->pid || sup_control_enter(x->request, false, &ignored) < 0 || connect_to(x, &c) < 0 || !kill_all(x, &t, &c))
		return false;
	lower(x, &c);
	return true;
}

pid_t sup_exec_kill_orphan(const struct sup_programs *p, const struct sup_spawn *s, const struct sup_dir *box, const struct sup_tree *t,
			   pid_t runsc)
{
	const struct sup_programs_slot *slot = &p->map->slot[p->mine];
	struct sup_request r = *s->request;
	struct sup_spawn spawn = { .request = &r, .stdio = { -1, -1, -1 }, .nice = s->nice };
	struct sup_exec_way way = slot->command ? sup_exec_command : sup_exec_control;
	pid_t keeper = getpid(), pid = fork();
	struct sup_exec x;

	if (pid != 0)
		return pid;
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);	/* we hold its host's connection and its lock as well */
	r.box = box->path;
	r.box_pid = (uint32_t)runsc;
	r.abstract = slot->abstract;
	r.rootless = false;	/* we are in its user namespace */
	sup_exec_init(&x, &r, &spawn);
	way.serve = serve_orphan;
	x.way = &way;
	x.tree = t;
	x.programs = *p;
	x.programs.mine = -1;	/* the entry is the box's supervisor's, until we are reaped */
	x.pid = slot->pid;
	x.runsc = (int)syscall(SYS_pidfd_open, runsc, 0);
	x.keeper = (int)syscall(SYS_pidfd_open, keeper, 0);
	_exit(x.keeper < 0 || !kill_orphan(&x));
}
