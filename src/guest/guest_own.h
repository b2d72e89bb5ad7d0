/* SPDX-License-Identifier: MIT
 *
 * guest_own: what an ordinary user's supervisor has put in place belongs to uid 0 of the guest, for that user is all that its
 * namespace has. So a sandbox's first process is the helper, as uid 0 with the capabilities for that and no other process beside
 * it: it gives the files to whom they are for, and becomes the program, with what that one may do and nothing else.
 */
#ifndef GUEST_OWN_H
#define GUEST_OWN_H

/* How many words come before the paths (lua/sandbox/run/owner.lua). */
#define GUEST_OWN_WORDS 10

/*
 * argv: OWNER GROUP, whose the files become; UID GID GROUPS(a list with commas, or -) CAPABILITIES(a number, a bit each), who the
 * program is; TASKS(its limit, or -); CWD; WORD, hexadecimal, for what is told by sbx_word.h (0: nobody hears it, and what is
 * wrong goes to stderr); how many paths follow; those; the program. Does not return.
 */
__attribute__((noreturn)) void guest_own(int argc, char **argv);

#endif
