/* SPDX-License-Identifier: MIT
 *
 * sup_trace: the sink of gVisor's trace session (pkg/sentry/seccheck/sinks/remote): a SEQPACKET socket that runsc connects
 * to, one packet an event. It tells when the guest's first process really started and when its last thread ended. A sink
 * that is not served hangs runsc, and one that is not read loses events.
 */
#ifndef SUP_TRACE_H
#define SUP_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_tree.h"

struct sup_trace {
	int listener, conn;	/* -1: none */
	bool asked;		/* runsc waits for sup_trace_answer: it has not made the sandbox */
	bool connected, started, ended, closed;
	bool begun;		/* the first process runs, which may be our helper: */
	uint64_t word;		/* the guest has started once that has said so, with this (sbx_word.h); 0: it is the program itself */
	uint64_t refusal;	/* what it said then: why it could not become the program; 0: it could */
	bool told;		/* a thread of its first process ended with `status` */
	bool lossy;		/* events were dropped: the guest made them faster than we read */
	int status;		/* wait status of the guest's first process, once ended */
	int group_live;		/* live threads of thread group 1 */
	int live, peak;		/* tasks in the guest; of programs in a box that never made one, the first is not among them */
	uint64_t failed_forks;	/* refused with EAGAIN: RLIMIT_NPROC */
	uint32_t no_space;	/* calls that were refused for want of room */
	uint32_t short_writes;	/* that wrote some of what they were given: to a place that got full, or a pipe that did */
	unsigned taken;		/* events that the last reading brought */
	struct sup_tree *tree;	/* a box: who comes from whom; not ours to free. NULL else */
};

/* Listens at RUN/trace.sock and writes RUN/b/trace.json for --pod-init-config. */
/* space: it is asked for calls that found no room, too. word: as above. */
int sup_trace_init(struct sup_trace *t, const struct sup_dir *d, bool space, uint64_t word, struct sup_error *e);
void sup_trace_destroy(struct sup_trace *t);
/* Accepts, and reads all that has come until now: what comes meanwhile must not hold us. */
void sup_trace_read(struct sup_trace *t);
/* Answers the handshake, once `asked`. */
void sup_trace_answer(struct sup_trace *t);
/* One packet; exposed for the unit test. */
void sup_trace_event(struct sup_trace *t, const unsigned char *packet, size_t n);

#endif
