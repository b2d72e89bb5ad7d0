/* SPDX-License-Identifier: MIT
 *
 * guest_session: what gVisor's terminals leave undone. Builds before 2026 tell nobody of another size, nor that a terminal is gone, that of 2022
 * knows no ^C, and that of 2024 has the program read it besides. Who is in the foreground is told to none but the session's own: there one of ours is in it, and signals for us.
 */
#ifndef GUEST_SESSION_H
#define GUEST_SESSION_H

#include <sys/ioctl.h>

/* What this gVisor does itself. */
#define GUEST_SESSION_SIZES 1	/* and, as no build does the one alone, hang-ups */
#define GUEST_SESSION_SIGNALS 2	/* ^C and the like */
#define GUEST_SESSION_ALL 3

/*
 * In the process that becomes the program, at the head of its session, its terminal on 0: gives the terminal its size, finds out what gVisor
 * does, and makes the process of ours where that is not all, a child of our parent's. line: the other end of the helper's; here it is
 * written to, and ends with the execve.
 */
void guest_session_begin(int master, const struct winsize *size, int line);
/* In the helper: what gVisor does; waits for what the process above has found. */
int guest_session_does(int line);
/* Sends a signal to the foreground group; of SIGHUP the head of the session hears, too. Nothing where nobody of ours is there. */
void guest_session_signal(int line, int signo);

#endif
