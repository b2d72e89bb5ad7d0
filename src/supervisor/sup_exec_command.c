/* SPDX-License-Identifier: MIT */
#include "sup_exec.h"

#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>

#include "sup_cli.h"
#include "sup_log.h"

static int start(struct sup_exec *x, const char *arg, const int stdio[3], struct sup_error *e)
{
	pid_t pid = sup_cli_start(x->spawn, &x->box, arg, e);

	(void)stdio;	/* as the spawn has them */
	x->command = pid > 0 ? pid : 0;
	return pid > 0 ? 0 : -1;
}

/* The words of `runsc exec` that started nothing. */
static void explain(struct sup_exec *x, struct sup_error *e)
{
	char log[16384], logged[900] = "";
	size_t n = sup_cli_read(&x->box, x->request, "exec-log", log, sizeof(log));

	(void)sup_log_first_error(log, n, logged, sizeof(logged));
	(void)sup_error(e, "runsc_failed", "%s", logged[0] ? logged : "runsc exec started nothing");
	sup_exec_explain(x, e);
}

/* The program's own status is the trace's, told by the box's supervisor: of 128 + n runsc's has two meanings. */
static void command_ended(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	int code = WIFEXITED(x->command_status) ? WEXITSTATUS(x->command_status) : 128 + SIGKILL;
	bool told = t->started && sup_exec_settle(x) && sup_tree_status(x->tree, x->pid, &t->status);

	x->asked = false;
	/* That it ended was told, or the box has died with it, unless the words of it were lost. */
	if (sup_exec_box_ends(x, told ? 0 : t->started && !x->tree->lost ? (int)(SUP_EXEC_SECONDS * 1000) : 300)) {
		x->gone = true;
	} else if (!t->started) {
		explain(x, e);
	} else {
		if (!told)
			t->status = code > 128 && code < 128 + NSIG ? code - 128 : code << 8;
		t->ended = true;
	}
}

static void serve(struct sup_exec *x, struct sup_trace *t, struct sup_error *e)
{
	int status;

	if (t->ended || x->gone)
		return;
	if (x->command > 0 && waitpid(x->command, &status, WNOHANG) == x->command) {
		x->command = -1;
		x->command_status = status;
	}
	if (!x->pid && (x->pid = sup_cli_pid(&x->box, x->request)) > 0)
		t->started = true;
	if (x->command < 0)
		command_ended(x, t, e);
}

/* Who reaps it is the run. */
static void signal_by_command(struct sup_exec *x, int pid, int signo)
{
	(void)sup_cli_spawn(x->spawn, "kill", pid, signo);
}

static int kill_one(const struct sup_exec *x, struct sup_control *c, int pid)
{
	(void)c;
	(void)sup_cli_call(x->spawn, "kill", pid, SIGKILL, SUP_EXEC_SECONDS);
	return 0;
}

/* runsc's commands signal nothing in a box that stands still: who forks faster than they start outlives them. */
static int hold(struct sup_exec *x, struct sup_control *c, bool still)
{
	(void)x;
	(void)c;
	(void)still;
	return 0;
}

const struct sup_exec_way sup_exec_command = {
	.user_namespace = true, .start = start, .serve = serve, .signal = signal_by_command, .kill = kill_one, .hold = hold,
};
