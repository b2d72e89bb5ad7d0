/* SPDX-License-Identifier: MIT
 *
 * sup_judge: how a run ended, from what was observed, in one table. Exit codes alone lie: 1, 2, 128 and 137 of runsc each
 * have three meanings. Pure, so that it is tested without processes.
 */
#ifndef SUP_JUDGE_H
#define SUP_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

enum sup_outcome {
	SUP_EXITED, SUP_SIGNALED, SUP_TIMED_OUT, SUP_OOM_KILLED, SUP_CPU_EXCEEDED, SUP_OUTPUT_EXCEEDED, SUP_KILLED,
	SUP_PIDS_EXCEEDED,	/* more tasks than RLIMIT_NPROC should have let be */
	SUP_IDLE,		/* a box that was not used: timed_out, too */
	SUP_BOOT_TIMEOUT,	/* and what follows: no result but an error */
	SUP_NOT_STARTED, SUP_CRASHED,
};

/* Why we killed it ourselves; SUP_EXITED: we did not. */
struct sup_facts {
	enum sup_outcome reason;
	bool started;		/* the guest's first instruction was seen */
	bool traced;		/* the trace was connected */
	bool guest_ended;	/* the trace told its end */
	bool lossy;		/* and not all of what there was to tell */
	bool guest_told;	/* it told of an end at least, perhaps not the last */
	int guest_status;	/* then: a wait status */
	uint64_t oom_kills;
	bool runsc_ended;
	int runsc_status;	/* then: a wait status */
	bool runsc_failed;	/* its log or panic log tells of an error */
};

struct sup_verdict {
	enum sup_outcome outcome;
	int code;		/* exit code or signal */
};

struct sup_verdict sup_judge(const struct sup_facts *f);
/* The word of API.md for an outcome that is a result, else NULL. */
const char *sup_judge_status(enum sup_outcome o);

#endif
