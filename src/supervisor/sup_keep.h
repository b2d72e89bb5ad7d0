/* SPDX-License-Identifier: MIT
 *
 * sup_keep: who stands between a supervisor and its hosts where what it supervises is to outlive them: a detached program, or a box with
 * `keep`. A process of its own, the only host that its supervisor knows, so that the supervisor is the same as ever: its keeper's end is
 * its end. It holds the tail of a program's output, and a socket in the box's directory at which any process of the same user is a host as
 * the first one was: each gets what is kept from where it likes, and then what comes.
 *
 * Nobody holds up the program: who reads too slowly is told from where it goes on. One writes to its stdin, who came last of those that
 * want to. Another user is refused by the socket's mode (0700), and by its credentials.
 *
 * It goes when the program is over and the box has gone, or somebody has killed what is over; a box's: when that is over, which it makes
 * so `keep` seconds after the last host has gone.
 */
#ifndef SUP_KEEP_H
#define SUP_KEEP_H

#include <stdbool.h>

#include "sup_host.h"

/* How many hosts may be there at once, and how many programs may be kept in one box. */
#define SUP_KEEP_HOSTS 16
#define SUP_KEEP_PROGRAMS 64

/*
 * Where the first frame that comes is SBX_WIRE_HOLD: keeps what follows, to its end: true. Else, or in the process that is to be its
 * supervisor, with another host in h: false.
 */
bool sup_keep(struct sup_host *h);

#endif
