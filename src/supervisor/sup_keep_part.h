/* SPDX-License-Identifier: MIT
 *
 * sup_keep_part: what the two halves of sup_keep share: sup_keep.c begins it and speaks to the supervisor, sup_keep_host.c to its hosts.
 */
#ifndef SUP_KEEP_PART_H
#define SUP_KEEP_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "sup_dir.h"
#include "sup_host.h"
#include "sup_keep.h"
#include "sup_tail.h"

struct sup_keep_blob {
	unsigned char *bytes;
	uint32_t n;
	bool there;
};

struct sup_keep_host {
	struct sup_host h;
	bool used, attached;
	bool mute;		/* it never wants to write */
	bool stalled;		/* its next frame waits for room to the supervisor */
	bool asked;		/* it only asked: it goes when it has its answer */
	bool told_started, told_result, told_over[2];
	unsigned busy;		/* programs that it says to be at work in the box */
	uint64_t at;		/* the offset of what it gets next */
	uint64_t serial;	/* the higher, the later it came */
};

struct sup_keep {
	/* What the first host said; the strings point into payload. */
	char *payload;
	const char *id, *name, *run, *about;
	uint64_t output;
	double keep;		/* seconds that a box goes on without a host */
	bool box;		/* it is kept, not a program in one */
	struct sup_host sup;	/* the supervisor */
	pid_t child;		/* which it is */
	struct sup_keep_host host[SUP_KEEP_HOSTS];
	uint64_t serial;
	struct sup_tail tail;
	struct sup_dir dir;	/* the box's */
	int listener, keeper;	/* keeper: a pidfd of the box's supervisor, for a program; -1 */
	char socket[8];		/* its name in dir; empty: none */
	struct sup_keep_blob started, result;
	bool over[2];		/* the program has closed its stdout, its stderr */
	bool stdin_ended;
	int writer;		/* of the hosts; -1: none */
	uint32_t outstanding;	/* bytes of stdin that the supervisor has not given credit for */
	uint32_t granted;	/* more that the writer may send; both together never more than the window */
	uint32_t due;		/* of those, what the writer has not been told of */
	bool ended;		/* the supervisor has gone */
	bool box_gone, forgotten, killed;
	double born, alone;	/* when it began; since when there is no host, 0: there is */
};

/* Takes a connection that the listener has, if there is one, and it is this user's. */
void sup_keep_accept(struct sup_keep *k);
/* A host of its own from now on: it gets all from `at` on. */
void sup_keep_attach(struct sup_keep *k, unsigned i, uint64_t at, bool mute);
/* It is gone: another one writes, and what it had at work in the box is over. */
void sup_keep_drop(struct sup_keep *k, unsigned i);
/* Takes what it has said. */
void sup_keep_hear(struct sup_keep *k, unsigned i);
/* Gives it what it has not got, as far as there is room. */
void sup_keep_tell(struct sup_keep *k, unsigned i);
/* So many bytes of stdin were taken. */
void sup_keep_credit(struct sup_keep *k, uint32_t n);

#endif
