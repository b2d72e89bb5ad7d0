/* SPDX-License-Identifier: MIT
 *
 * sup_kind: what the kinds of run do differently, each a table of functions (sup_kind_run.c: run, box; sup_kind_exec.c: exec,
 * command, call; sup_kind_tool.c: tool, sweep). Who serves a run asks its table, and nobody asks which kind it is.
 * A function that a kind has no use for is NULL.
 */
#ifndef SUP_KIND_H
#define SUP_KIND_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "sup_judge.h"
#include "sup_privilege.h"
#include "sup_request.h"
#include "sup_stats.h"

struct sup_run;

/* How many descriptors a kind may poll for what tells of its guest. */
#define SUP_KIND_POLL 4
/* What runsc said of its failure. */
#define SUP_KIND_SAID 900

/* What is on the streams before the guest has begun: all the guest's, runsc's own talk, or not to be told yet. */
enum sup_talk { SUP_TALK_NONE, SUP_TALK_DROP, SUP_TALK_KEEP };

struct sup_kind {
	enum sup_talk talk;
	bool streams;		/* stdin, stdout and stderr */
	bool boots;		/* and takes a turn for it */
	bool paced;		/* what it polls for can be made to come without end by the guest */
	enum sup_privilege privilege;	/* what it keeps once it has started */
	bool every_turn;	/* its start is nothing that can be polled for: it is served at each turn of the loop */
	/* When the request has come: what has to be there for what follows it. */
	int (*prepare)(struct sup_run *s);
	/* Takes the configuration: OCI's, gVisor's ExecArgs, or the argument of a call. Of kinds that have it there must be one. */
	int (*config)(struct sup_run *s, const void *bytes, uint32_t n);
	int (*start)(struct sup_run *s);
	void (*poll)(const struct sup_run *s, struct pollfd p[SUP_KIND_POLL]);
	/* Takes what has come; sets trace.started and trace.ended. Never waits. */
	void (*serve)(struct sup_run *s);
	/* The guest begins. */
	void (*started)(struct sup_run *s);
	/* Whether the guest goes on, as far as is known; NULL: there is nothing to wait for. */
	bool (*goes_on)(const struct sup_run *s);
	/* When limits and serve want to be called again. */
	double (*due)(const struct sup_run *s, double now);
	void (*limits)(struct sup_run *s, double now);
	void (*signal)(struct sup_run *s, int signo);
	/* The request has new limits. */
	void (*lease)(struct sup_run *s);
	/* The run is over: nothing of it goes on. */
	void (*stop)(struct sup_run *s);
	/* What is known of the end; s->error: why there is no result. said: empty at first. */
	void (*facts)(struct sup_run *s, struct sup_facts *f, char said[SUP_KIND_SAID]);
	struct sup_stats (*usage)(struct sup_run *s);
};

extern const struct sup_kind sup_kind_run, sup_kind_box, sup_kind_exec, sup_kind_command, sup_kind_call, sup_kind_tool, sup_kind_sweep;

/* Its table. */
const struct sup_kind *sup_kind_of(enum sup_mode mode);

#endif
