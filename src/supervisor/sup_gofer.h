/* SPDX-License-Identifier: MIT
 *
 * sup_gofer: runsc's file server of a sandbox. Where it is killed from outside, the sentry kills the guest, and tells of an end by
 * SIGKILL that looks like the program's own.
 */
#ifndef SUP_GOFER_H
#define SUP_GOFER_H

#include <stdbool.h>
#include <sys/types.h>

struct sup_gofer {
	pid_t pid;
	int fd;			/* a pidfd; -1: none is known, or what it tells has been told */
	/*
	 * An epoll instance of its pidfd, the sentry's and the trace, which come out of it in the order in which they became ready: a
	 * supervisor that gets no processor may find all dead, and runsc kills, and reaps, what is left of the two. -1: none.
	 */
	int order;
	bool dead, outlived;	/* it is; the sentry was before it */
	bool told;		/* something of the trace that was not read yet came before its end, or may have */
	bool killed;		/* from outside, and the guest with it */
};

void sup_gofer_init(struct sup_gofer *g);
/* Finds the gofer below this runsc. `sentry`: a pidfd, -1: it is not known yet; `trace`: its connection, or -1. Both are the caller's. */
void sup_gofer_find(struct sup_gofer *g, pid_t runsc, int sentry, int trace);
/* Whether it has ended. Each time before the trace is read, so that `told` is right. */
bool sup_gofer_ended(struct sup_gofer *g);
/*
 * Finds out whether it was killed, once it ends: when its pidfd is ready, or somebody asks what the guest, or a program of it, died of.
 * `sentry`: a pidfd; `ended`: the guest had told of its end by then.
 */
void sup_gofer_look(struct sup_gofer *g, int sentry, bool ended);
void sup_gofer_close(struct sup_gofer *g);

#endif
