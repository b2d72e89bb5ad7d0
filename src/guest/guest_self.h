/* SPDX-License-Identifier: MIT
 *
 * guest_self: who the helper is in the guest. A program that was left behind runs as the box's user and would kill, stop or
 * trace us, and write to our stdout by way of /proc, if we were that user. So the real and the saved uid are another, which
 * is what the kernel asks about signals and tracing; the effective uid is the user's, which is what it asks about files.
 */
#ifndef GUEST_SELF_H
#define GUEST_SELF_H

#include <stdbool.h>
#include <sys/types.h>

/*
 * From uid 0 with CAP_SETUID becomes that. alone: nothing but the box's first process and we may live on, and all else is killed
 * first, for a while: who forks faster than that goes on. -1: we may not, and are who we were. Of the
 * capabilities none is left but CAP_DAC_OVERRIDE, if there is that.
 */
int guest_self_become(uid_t user, bool alone);
/* fork, of a process that counts as the user's: gVisor counts it for the real uid of its parent in that moment, for all its life. */
pid_t guest_self_fork(uid_t user);
/* In a process that is to be the user's own: gives the rest of ours up. */
int guest_self_end(uid_t user);

#endif
