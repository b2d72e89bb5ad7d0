/* SPDX-License-Identifier: MIT
 *
 * sbx_zygote: the host's end of a process that forks supervisors (sup_zygote is the other). Starting one by vfork and exec holds
 * up the caller's thread until the new process has got a processor; a message to the zygote never waits.
 */
#ifndef SBX_ZYGOTE_H
#define SBX_ZYGOTE_H

#include <stdbool.h>

#include "sbx_fd.h"
#include "sbx_self.h"

struct sbx_zygote {
	struct sbx_fd fd;
	struct sbx_self owner;	/* whose it is: a host that forked, or that is somebody else now, needs its own */
};

/* Starts the program at `path`, a supervisor, as a zygote. 0: close it; or an errno. */
int sbx_zygote_start(struct sbx_zygote *z, const char *path);

/* Whether it can be asked: it is not known to have gone, and we are who started it. `fresh`: a socket that the caller has just made. */
bool sbx_zygote_serves(const struct sbx_zygote *z, int fresh);

/*
 * Gives `control` and `line` (-1: none; both stay the caller's, as of sbx_launch; the last of them was just made) to a new supervisor;
 * never waits. 0; or an errno, and then a supervisor is to be started directly. One that serves no more is closed. `again`: the caller
 * has had one started a moment ago, and nothing but this module ran since, so that it is who it was.
 */
int sbx_zygote_spawn(struct sbx_zygote *z, int control, int line, bool again);

/* The zygote ends; its supervisors go on. Once more does no harm. */
void sbx_zygote_close(struct sbx_zygote *z);

#endif
