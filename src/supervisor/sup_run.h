/* SPDX-License-Identifier: MIT
 *
 * sup_run: one run from its request to the last trace of it. sup_run.c sets it up and tears it down, sup_frame.c takes what its
 * host says, sup_loop.c waits while it lives, sup_report.c writes its result; what depends on its kind is in sup_kind.h. Everything here is owned by the run.
 */
#ifndef SUP_RUN_H
#define SUP_RUN_H

#include <stdbool.h>
#include <sys/types.h>

#include "sup_cgroup.h"
#include "sup_dir.h"
#include "sup_error.h"
#include "sup_exec.h"
#include "sup_gofer.h"
#include "sup_hold.h"
#include "sup_volume.h"
#include "sup_host.h"
#include "sup_judge.h"
#include "sup_kind.h"
#include "sup_meter.h"
#include "sup_net.h"
#include "sup_outer.h"
#include "sup_place.h"
#include "sup_pump.h"
#include "sup_request.h"
#include "sup_slot.h"
#include "sup_spawn.h"
#include "sup_trace.h"

#define SUP_RUN_TOOLS 64

/* How often something has woken us lately, and until when it is not heard. */
struct sup_pace {
	double window, until;
	unsigned wakes;
};

/* What a run is in; which frames may come then is a table in sup_frame.c. */
enum sup_phase {
	SUP_PHASE_NEW,		/* nothing has come */
	SUP_PHASE_ATTACHED,	/* to a box, for a program that is to come */
	SUP_PHASE_REQUEST,	/* R has come, its configuration and files are coming */
	SUP_PHASE_TURN,		/* G has come: waits for a turn to boot */
	SUP_PHASE_BOOT,
	SUP_PHASE_RUN,		/* the guest has begun */
	SUP_PHASE_DRAIN,	/* it has ended, or never began: what is in its pipes goes out */
	SUP_PHASE_LINGER,	/* all of the result is queued */
};

struct sup_run {
	struct sup_host *host;
	enum sup_phase phase;
	const struct sup_kind *kind;	/* NULL until the request is known */
	struct sup_request request;
	struct sup_error error;
	struct sup_dir dir;
	struct sup_cgroup cgroup;
	struct sup_outer outer;
	struct sup_gofer gofer;
	int hold;			/* the image's directory, with a shared lock; -1: none */
	struct sup_volumes volumes;
	struct sup_place place;
	struct sup_pump pump;
	struct sup_trace trace;
	struct sup_meter meter;
	struct sup_net net;
	struct sup_spawn spawn;
	struct sup_exec exec;
	char *exec_arg;			/* in a box: the configuration */
	int stats;			/* a box: RUN/stats, -1: no box */
	pid_t tool[SUP_RUN_TOOLS];	/* the last of runsc's commands that we started beside it */
	unsigned tools;
	struct sup_tree *tree;
	double next_adopt;	/* a box: when it looks for programs whose supervisor has died */
	struct sup_programs record;	/* a box: of its programs; ours is the entry of one whose supervisor has died */
	pid_t killer;			/* which is killed by this process; 0: none, -1: it has ended, */
	int killer_status;		/* so */
	unsigned programs;		/* a box: that its host says to be at work */
	double idle_since;
	int child_stdio[3];
	int signals;			/* signalfd of SIGCHLD and SIGUSR1 */
	pid_t child;			/* runsc; 0: not started, -1: reaped */
	int child_status;
	enum sup_outcome reason;	/* why we kill it, SUP_EXITED: we do not */
	struct sup_pace pace_trace, pace_output;
	double metered;			/* when the last reading was */
	uint32_t metered_ends;		/* a box: of how many programs it knew */
	bool asked;			/* a program's supervisor wants to know what there is now */
	bool started, host_gone, configured;
	unsigned long long pending_signals;	/* bit n: signal n waits for the start */
	double born, queued, spawned, start, end, next_cpu;	/* queued: seconds of waiting for a turn to boot */
	struct sup_slot slot;		/* the turn to boot */
	int removed;			/* sweep; -1: another kind */
};

void sup_run_init(struct sup_run *s, struct sup_host *host);
/* Takes the frames up to G and prepares all they ask for. -1: no run, s->error or s->host_gone says why. */
int sup_run_prepare(struct sup_run *s);
/* Makes the guest's stdin, stdout and stderr. */
int sup_run_pipes(struct sup_run *s);
/* Starts what the kind starts. */
int sup_run_start(struct sup_run *s);
/* Notes why we end it; the first reason is the one. */
void sup_run_end(struct sup_run *s, enum sup_outcome reason);
/* Ends all of it, removes all of it. Every step is bounded. */
void sup_run_teardown(struct sup_run *s);
void sup_run_destroy(struct sup_run *s);
/* Reaps what has ended, noting runsc's status; false when no child is left. */
bool sup_run_reap(struct sup_run *s);

/* Waits for a turn to boot, serving the host meanwhile; false when the run was given up. */
bool sup_loop_turn(struct sup_run *s);
/* Serves the run until the guest has ended, runsc has, a limit was hit or the host is gone. */
void sup_loop_run(struct sup_run *s);
/* It is over, and nothing of it goes on: what its pipes hold now is all there is. */
void sup_loop_end(struct sup_run *s);
/* Moves what the pipes still hold to the host; true when all of it is queued. Never waits. */
bool sup_loop_drain(struct sup_run *s);
/* After the end: the rest of the output and the result go out, for as long as the host lives. */
void sup_loop_linger(struct sup_run *s, bool result_queued);

/* Judges the run, while its log, its cgroups and its meters are still there. */
void sup_report_judge(struct sup_run *s);
/* Queues the X frame, once the streams are drained; false while there is no room. */
bool sup_report(struct sup_run *s);
/* A box: writes RUN/stats; ended: for the last time. */
void sup_report_stats(struct sup_run *s, bool ended);
/* Queues the S frame. */
void sup_report_started(struct sup_run *s);

#endif
