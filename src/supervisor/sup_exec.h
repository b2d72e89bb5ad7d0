/* SPDX-License-Identifier: MIT
 *
 * sup_exec: a program in a box. Each has a supervisor of its own, which speaks to the box's sentry directly and serves its
 * host as it would for a one-shot run: same request, pump, deadline, judgement and result. The box has a supervisor, too,
 * which holds what is the box's: its memory, its end.
 */
#ifndef SUP_EXEC_H
#define SUP_EXEC_H

#include <poll.h>
#include <stdbool.h>

#include "sup_control.h"
#include "sup_dir.h"
#include "sup_error.h"
#include "sup_host.h"
#include "sup_net.h"
#include "sup_programs.h"
#include "sup_request.h"
#include "sup_spawn.h"
#include "sup_stats.h"
#include "sup_trace.h"
#include "sup_tree.h"

struct sup_exec_way;

/* What is polled for a program, beside its streams: the helper's words, the answer to a call, the answer to a signal, a loader's word. */
#define SUP_EXEC_POLL 4
/* More signals than this at once, and the last are dropped. */
#define SUP_EXEC_SIGNALS 64

struct sup_exec {
	const struct sup_exec_way *way;
	struct sup_dir box;		/* the box's, not ours */
	struct sup_control wait;	/* on which ExecuteAsync and then WaitPID are answered */
	struct sup_control signal;	/* on which a signal is */
	unsigned char signals[SUP_EXEC_SIGNALS];	/* still to be sent, in this order */
	unsigned signals_n;
	double signal_limit;		/* when its answer is waited for no more */
	int report;			/* the helper's words: that it becomes the program, and what failed */
	unsigned said;			/* how many of them have come: two at most */
	int code;			/* of a prepared program: whence it gets its code, until the lease; -1: none */
	int told;			/* and where it may tell its own exit status, a byte, instead of ending; -1: none */
	bool leased, early;		/* it has its code; it has told its status */
	int stats, runsc, keeper;	/* RUN/stats, and pidfds of the box's runsc and its supervisor */
	int pid;			/* in the guest; 0: none yet */
	bool asked;			/* it has been asked for, and has none yet: it may appear at any moment */
	bool gone;			/* the box is */
	bool lifted;			/* by us: a box that is to stand still runs, so that who is killed in it dies */
	bool destroyed;			/* by us: the program could not be killed alone */
	struct sup_stats before;	/* what the box had used at the program's start */
	const struct sbx_net_counters *net;	/* the box's, NULL: it has no network of its own; */
	struct sbx_net_counters net_before;	/* and what they were at the program's start */
	const struct sup_tree *tree;
	struct sup_programs programs;	/* the box's record of them, with our entry */
	struct sup_host *host;		/* whose questions are answered while we wait for the box; NULL: none */
	const struct sup_request *request;
	const struct sup_spawn *spawn;	/* for runsc's commands, where the control socket is not used */
	pid_t command;			/* `runsc exec`, 0: none, -1: ended; the run kills and reaps it */
	int command_status;
};

/* What differs between the control socket (sup_exec_control.c) and runsc's commands (sup_exec_command.c). */
struct sup_exec_way {
	bool user_namespace;	/* of the box: needed */
	bool connects;		/* to the control socket */
	/* Starts the program, or the helper that becomes it. Never waits. */
	int (*start)(struct sup_exec *x, const char *arg, const int stdio[3], struct sup_error *e);
	void (*serve)(struct sup_exec *x, struct sup_trace *t, struct sup_error *e);
	/* Sends a signal to a process of the box, not waiting for anything. */
	void (*signal)(struct sup_exec *x, int pid, int signo);
	/* Kills one process. -1: the box does not answer. */
	int (*kill)(const struct sup_exec *x, struct sup_control *c, int pid);
	/* Lets the box stand still, or go on. -1: it does not answer. */
	int (*hold)(struct sup_exec *x, struct sup_control *c, bool still);
};

extern const struct sup_exec_way sup_exec_control, sup_exec_command;

/*
 * Within which the box, or its supervisor, does what is waited for: an answer, a turn, the end of what was killed. A machine that is
 * very busy needs some of it; only what hangs needs all.
 */
#define SUP_EXEC_SECONDS 10.0

/* Whether the box's supervisor lives. */
bool sup_exec_kept(const struct sup_exec *x);

void sup_exec_init(struct sup_exec *x, const struct sup_request *r, const struct sup_spawn *s);
/* Gets hold of the box and, where it is used, of its control socket; once more does nothing. */
int sup_exec_attach(struct sup_exec *x, const struct sup_exec_way *way, struct sup_error *e);
/* Runs a program of ours to its end, without streams: the next finds the sandbox warm. arg: ExecArgs. */
int sup_exec_first(struct sup_exec *x, const char *arg, struct sup_error *e);
/* Starts the program, or the helper that becomes it; arg: the JSON of gVisor's ExecArgs, or of OCI's process.
 * stdio: the guest's ends of the pipes. */
int sup_exec_start(struct sup_exec *x, const struct sup_exec_way *way, const char *arg, const int stdio[3], struct sup_error *e);
/* Reads what has come: the program's start and end go to t, a program that could not be started to e. */
void sup_exec_serve(struct sup_exec *x, struct sup_trace *t, struct sup_error *e);
/* Begins one call, its argument as JSON. */
int sup_exec_ask(struct sup_exec *x, const char *arg, struct sup_error *e);
/* What it gave, as JSON, the caller's (free); NULL: nothing yet, or the error is set. */
char *sup_exec_answer(struct sup_exec *x, struct sup_error *e);
/* What to poll. */
void sup_exec_poll(const struct sup_exec *x, struct pollfd p[SUP_EXEC_POLL]);
/* A prepared program is leased: what the box used until now was not the program's, and from now on it may tell its status. The
 * descriptor that its code goes to, the caller's from here on; -1: none. */
int sup_exec_lease(struct sup_exec *x);
/* Waits until the box's supervisor has taken in, and measured, what has happened until now. false: it does not, or has died. */
bool sup_exec_settle(const struct sup_exec *x);
/* After the program's end: what the box's supervisor has measured by then. `lost`: nobody can tell what a guest was refused. */
struct sup_stats sup_exec_measure(const struct sup_exec *x);
void sup_exec_signal(struct sup_exec *x, int signo);
/* Whom a signal is for: the program itself, or our helper, which passes it on. */
int sup_exec_target(const struct sup_exec *x, int signo);
/* Kills the program with all its descendants and waits for its end; the box itself where that cannot be proved in time. */
void sup_exec_kill(struct sup_exec *x, struct sup_trace *t);
/*
 * The box's supervisor, for an entry of its record that it has taken over: in a process of its own, the program's tree is killed as
 * above. That process, whose end with 0 says that nothing is left; -1: none could be made.
 */
pid_t sup_exec_kill_orphan(const struct sup_programs *p, const struct sup_spawn *s, const struct sup_dir *box, const struct sup_tree *t,
			   pid_t runsc);
/* Turns what runsc said into the caller's error: some of it is the caller's mistake, and of a dying box all is its death. */
void sup_exec_explain(const struct sup_exec *x, struct sup_error *e);
/* Whether the box ends within so many milliseconds: that is seen a moment after what ran in it has ended. */
bool sup_exec_box_ends(const struct sup_exec *x, int ms);
void sup_exec_destroy(struct sup_exec *x);

#endif
