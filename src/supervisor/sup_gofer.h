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
	int order;		/* an epoll instance of its pidfd and the sentry's: they come out of it in the order in which they died */
	bool killed;		/* from outside, and the guest with it */
};

void sup_gofer_init(struct sup_gofer *g);
/* Finds the gofer below this runsc. `sentry`: a pidfd, -1: it is not known yet. */
void sup_gofer_find(struct sup_gofer *g, pid_t runsc, int sentry);
/*
 * Finds out whether it was killed, once: when its pidfd is ready, or as soon as the guest is known to have died of SIGKILL. `sentry`: a
 * pidfd; `ended`: the guest had told of its end by then.
 */
void sup_gofer_look(struct sup_gofer *g, int sentry, bool ended);
void sup_gofer_close(struct sup_gofer *g);

#endif
