/* SPDX-License-Identifier: MIT
 *
 * sup_exec: a program in a box. Each has a supervisor of its own, which speaks to the box's sentry directly and serves its
 * host as it would for a one-shot run: same request, pump, deadline, judgement and result. The box has a supervisor, too,
 * which holds what is the box's: its memory, its end.
 */
#ifndef SUP_EXEC_H
#define SUP_EXEC_H

#include <stdbool.h>

#include "sup_control.h"
#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"
#include "sup_spawn.h"
#include "sup_stats.h"
#include "sup_trace.h"
#include "sup_tree.h"

struct sup_exec {
	struct sup_dir box;		/* the box's, not ours */
	struct sup_control wait;	/* on which WaitPID is answered */
	int report;			/* the helper's words: that it becomes the program, and what failed */
	unsigned said;			/* how many of them have come: two at most */
	int stats, runsc, keeper;	/* RUN/stats, and pidfds of the box's runsc and its supervisor */
	int pid;			/* in the guest; 0: none yet */
	bool gone;			/* the box is */
	bool destroyed;			/* by us: the program could not be killed alone */
	struct sup_stats before;	/* what the box had used at the program's start */
	const struct sup_tree *tree;
	const struct sup_request *request;
	const struct sup_spawn *spawn;	/* for runsc's commands, where the control socket is not used */
	pid_t command;			/* `runsc exec`, 0: none, -1: ended; the run kills and reaps it */
	int command_status;
};

/* Whether the box's supervisor lives. */
bool sup_exec_kept(const struct sup_exec *x);

void sup_exec_init(struct sup_exec *x, const struct sup_request *r, const struct sup_spawn *s);
/* Gets hold of the box and, where it is used, of its control socket; once more does nothing. */
int sup_exec_attach(struct sup_exec *x, struct sup_error *e);
/* Runs a program of ours to its end, without streams: the next finds the sandbox warm. arg: ExecArgs. */
int sup_exec_first(struct sup_exec *x, const char *arg, struct sup_error *e);
/* Starts the program, or the helper that becomes it; arg: the JSON of gVisor's ExecArgs. stdio: the guest's ends of the pipes. */
int sup_exec_start(struct sup_exec *x, const char *arg, const int stdio[3], struct sup_error *e);
/* Reads what has come: the program's start and end go to t, a program that could not be started to e. */
void sup_exec_serve(struct sup_exec *x, struct sup_trace *t, struct sup_error *e);
/* One call, and its result as JSON; NULL: the error is set. The text is the caller's (free). */
char *sup_exec_call(struct sup_exec *x, const char *arg, struct sup_error *e);
/* What the box used until now was not the program's. */
void sup_exec_restart(struct sup_exec *x);
/* After the program's end: what the box's supervisor measured then; waits for it a little. */
struct sup_stats sup_exec_measure(const struct sup_exec *x);
void sup_exec_signal(struct sup_exec *x, int signo);
/* Kills the program with all its descendants and waits for its end; the box itself where that cannot be proved in time. */
void sup_exec_kill(struct sup_exec *x, struct sup_trace *t);
void sup_exec_destroy(struct sup_exec *x);

#endif
