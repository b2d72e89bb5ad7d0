/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sbx_time.h"

/* -1: the box cannot be reached. Commands need no connection. */
static int connect_to(const struct sup_exec *x, struct sup_control *c)
{
	struct sup_error ignored = { .code = "" };

	return x->way->connects ? sup_control_open(c, x->request, SUP_EXEC_CALL_SECONDS, &ignored) : 0;
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

/* Within which the box's supervisor must have got to run. */
#define SETTLE_SECONDS 0.5
/* A turn of it that has little to do. */
#define TURN_NS 100000

static void destroy_box(struct sup_exec *x)
{
	x->destroyed = true;
	(void)syscall(SYS_pidfd_send_signal, x->runsc, SIGKILL, NULL, 0);
	x->gone = true;
}

/*
 * Two turns of the box's supervisor, for one may be under way; it is woken for them. Where that is not in time, nothing can be proved.
 */
bool sup_exec_settle(const struct sup_exec *x, double seconds)
{
	double limit = sbx_time_now() + seconds;
	uint32_t seen = sup_tree_turns(x->tree);

	while (sup_tree_turns(x->tree) - seen < 2) {
		if (sbx_time_now() > limit || syscall(SYS_pidfd_send_signal, x->keeper, SIGUSR1, NULL, 0) < 0)
			return false;
		(void)nanosleep(&(struct timespec){ .tv_nsec = TURN_NS }, NULL);
	}
	return true;
}

/* Kills what there is at the moment, in a box that stands still, so that nobody forks away; -1: the box does not answer, or not in time. */
static int kill_round(struct sup_exec *x, struct sup_control *c, bool program_lives, double limit)
{
	size_t at = 0;
	int pid;

	if (x->way->hold(x, c, true) < 0 || !sup_exec_settle(x, SETTLE_SECONDS))
		return -1;
	if (program_lives && x->way->kill(x, c, x->pid) < 0)
		return -1;
	while ((pid = sup_tree_next(x->tree, x->pid, &at)))
		if (sbx_time_now() > limit || x->way->kill(x, c, pid) < 0)
			return -1;
	return x->way->hold(x, c, false);
}

static bool tree_is_empty(const struct sup_exec *x)
{
	size_t at = 0;

	return !sup_tree_next(x->tree, x->pid, &at);
}

/* Until the program has ended and none of its descendants is left. */
static bool kill_all(struct sup_exec *x, struct sup_trace *t, struct sup_control *c)
{
	struct sup_error ignored = { .code = "" };
	double limit = sbx_time_now() + x->way->kill_seconds;

	while (!x->gone && sbx_time_now() < limit) {
		if (kill_round(x, c, !t->ended, limit) < 0)
			return false;
		for (double round = sbx_time_now() + 0.1; sbx_time_now() < round && !x->gone;) {
			struct pollfd p = { .fd = t->ended ? -1 : x->wait.fd, .events = POLLIN };

			if (t->ended && tree_is_empty(x) && sup_exec_settle(x, SETTLE_SECONDS) && tree_is_empty(x))
				return !x->tree->lost;
			(void)poll(&p, 1, 2);
			sup_exec_serve(x, t, &ignored);
		}
	}
	return false;
}

void sup_exec_kill(struct sup_exec *x, struct sup_trace *t)
{
	struct sup_error ignored = { .code = "" };
	struct sup_control c = SUP_CONTROL_NONE;

	/* A program that has been asked for must be there before it can be killed. */
	for (double limit = sbx_time_now() + SUP_EXEC_CALL_SECONDS; x->asked && !x->gone && !t->ended && sbx_time_now() < limit;) {
		sup_exec_serve(x, t, &ignored);
		(void)poll(NULL, 0, 1);
	}
	if (t->ended || x->gone || (!x->pid && !x->asked))
		return;
	if (!x->pid || connect_to(x, &c) < 0 || !kill_all(x, t, &c))
		destroy_box(x);
	sup_control_close(&c);
}
