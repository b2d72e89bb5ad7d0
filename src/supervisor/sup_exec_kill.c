/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_time.h"
#include "sup_cli.h"

#define CALL_SECONDS 2.0
/* Within which all of a killed program must be gone, or the box goes. */
#define KILL_SECONDS 1.0

/* Over the control socket, or by runsc's command. -1: no answer. A process that ended in this moment is none, which is no matter. */
static int signal_one(const struct sup_exec *x, struct sup_control *c, int pid, int signo)
{
	struct sup_error e = { .code = "" };
	char arg[160];

	if (x->request->cli) {
		(void)sup_cli_call(x->spawn, "kill", pid, signo, CALL_SECONDS);
		return 0;
	}
	(void)snprintf(arg, sizeof(arg), "{\"CID\":\"%.64s\",\"Signo\":%d,\"PID\":%d,\"Mode\":0}", x->request->container, signo, pid);
	(void)sup_control_call(c, "containerManager.Signal", arg, NULL, 0, CALL_SECONDS, NULL, &e);
	return strcmp(e.code, "closed") ? 0 : -1;
}

/* -1: the box cannot be reached. Commands need no connection. */
static int connect_to(const struct sup_exec *x, struct sup_control *c)
{
	struct sup_error ignored = { .code = "" };

	return x->request->cli ? 0 : sup_control_open(c, x->request, &ignored);
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

void sup_exec_signal(struct sup_exec *x, int signo)
{
	struct sup_control c = { .fd = -1 };

	if (x->pid && connect_to(x, &c) == 0)
		(void)signal_one(x, &c, signo == SIGSTOP ? below_helper(x) : x->pid, signo);
	sup_control_close(&c);
}

/* --- the whole tree ------------------------------------------------------------------------------------------------------- */

/* Within which the box's supervisor must have got to run. */
#define SETTLE_SECONDS 0.5

static void destroy_box(struct sup_exec *x)
{
	x->destroyed = true;
	(void)syscall(SYS_pidfd_send_signal, x->runsc, SIGKILL, NULL, 0);
	x->gone = true;
}

/*
 * Until the box's supervisor has taken in what the trace has told until now. Two of its turns, for one may be under way; it is
 * woken for them. false: not in time, so that nothing can be proved.
 */
static bool settle(const struct sup_exec *x)
{
	double limit = sbx_time_now() + SETTLE_SECONDS;
	uint32_t seen = x->tree->turns;

	while (x->tree->turns - seen < 2) {
		if (sbx_time_now() > limit || syscall(SYS_pidfd_send_signal, x->keeper, SIGUSR1, NULL, 0) < 0)
			return false;
		(void)poll(NULL, 0, 1);
	}
	return true;
}

/*
 * Lets the box stand still, so that nobody forks away, or go on. runsc's commands signal nothing in a box that stands still:
 * there who forks faster than they start outlives them.
 */
static int hold(struct sup_exec *x, struct sup_control *c, bool still)
{
	struct sup_error ignored = { .code = "" };
	/* The build whose control socket is an abstract one has them elsewhere. */
	const char *method = x->request->abstract ? still ? "Lifecycle.Pause" : "Lifecycle.Resume"
						  : still ? "containerManager.Pause" : "containerManager.Resume";

	return x->request->cli ? 0 : sup_control_call(c, method, "null", NULL, 0, CALL_SECONDS, NULL, &ignored);
}

/* Kills what there is at the moment; -1: the box does not answer, or not in time. */
static int kill_round(struct sup_exec *x, struct sup_control *c, bool program_lives, double limit)
{
	size_t at = 0;
	int pid;

	if (hold(x, c, true) < 0 || !settle(x))
		return -1;
	if (program_lives && signal_one(x, c, x->pid, SIGKILL) < 0)
		return -1;
	while ((pid = sup_tree_next(x->tree, x->pid, &at)))
		if (sbx_time_now() > limit || signal_one(x, c, pid, SIGKILL) < 0)
			return -1;
	return hold(x, c, false);
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
	double limit = sbx_time_now() + (x->request->cli ? 3 * KILL_SECONDS : KILL_SECONDS);

	while (!x->gone && sbx_time_now() < limit) {
		if (kill_round(x, c, !t->ended, limit) < 0)
			return false;
		for (double round = sbx_time_now() + 0.1; sbx_time_now() < round && !x->gone;) {
			struct pollfd p = { .fd = t->ended ? -1 : x->wait.fd, .events = POLLIN };

			if (t->ended && tree_is_empty(x) && settle(x) && tree_is_empty(x))
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
	struct sup_control c = { .fd = -1 };

	/* A program that `runsc exec` is just starting must be there before it can be killed. */
	for (double limit = sbx_time_now() + CALL_SECONDS; x->request->cli && !x->pid && x->command > 0 && sbx_time_now() < limit;) {
		sup_exec_serve(x, t, &ignored);
		(void)poll(NULL, 0, 2);
	}
	if (!x->pid || t->ended || x->gone)
		return;
	if (!x->tree || connect_to(x, &c) < 0 || !kill_all(x, t, &c))
		destroy_box(x);
	sup_control_close(&c);
}
