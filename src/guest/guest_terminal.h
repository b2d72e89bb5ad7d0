/* SPDX-License-Identifier: MIT
 *
 * guest_terminal: a program's terminal, made inside: the program has its replica, our helper the master, between that and its own stdin and
 * stdout. Nothing of the host's is a terminal.
 *
 * The helper's stdin is frames, as sbx_wire.h has them: 'I' bytes that are typed, 'E' the end that is typed, ^D as a rule, 'Z' two 16-bit
 * little-endian numbers, rows and columns. Its end is one 'E' more. Its stdout is what the terminal shows.
 */
#ifndef GUEST_TERMINAL_H
#define GUEST_TERMINAL_H

#include <sys/ioctl.h>
#include <sys/types.h>

struct guest_terminal {
	int master, replica;	/* -1: hung up */
	int line[2];		/* to who is in the program's session for us */
	int does;		/* what gVisor does itself: guest_session.h */
	struct winsize size;	/* of the start */
};

/* Makes one, as the user that we are in effect. size: "ROWSxCOLUMNS". -1 and errno: none can be had. */
int guest_terminal_open(struct guest_terminal *t, const char *size);
/* In the program's process: a session of its own, on the terminal. What is open beyond 0, 1 and 2 is as it was. -1 and errno. */
int guest_terminal_enter(const struct guest_terminal *t);
/* Carries both ways until the program has ended and what it wrote is through: its status, as waitpid has it. Others that end are reaped.
 * SIGHUP hangs up; `program` gets all other signals that the caller has it get. */
int guest_terminal_serve(struct guest_terminal *t, pid_t program);

#endif
