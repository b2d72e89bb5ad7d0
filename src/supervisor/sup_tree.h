/* SPDX-License-Identifier: MIT
 *
 * sup_tree: RUN/tree, which process of a box comes from which program, however its parents have ended since. The box's
 * supervisor keeps it from the trace; those of the programs read it when one must be killed with all its descendants.
 * (PR_SET_CHILD_SUBREAPER would be simpler: gVisor kills the whole box when such a process ends together with a child.)
 */
#ifndef SUP_TREE_H
#define SUP_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How a program ended, by the trace: of the last so many. */
#define SUP_TREE_ENDS 256

/* More processes than this in one box, and it goes as a whole. */
#define SUP_TREE_SLOTS 8192

struct sup_tree {
	int32_t keeper;			/* the pid of the box's supervisor */
	uint32_t heard;			/* questions that its loop has begun to answer: what the trace had told before is in here with the answer */
	uint32_t answered;		/* of those */
	uint32_t news;			/* how often there was an answer, or the end of a program was measured: who waits for that sleeps on it */
	uint32_t lost;			/* there was no room: nothing can be proved any more */
	uint32_t live;			/* slots in use */
	uint32_t first;			/* whether the sandbox's first process is a program, and not our helper */
	struct sup_tree_slot {
		int32_t pid;		/* 0: never used, -1: free again */
		int32_t root;		/* the pid that the program was started with; 0: it is a program */
		int32_t threads;
	} slot[SUP_TREE_SLOTS];
	uint32_t ends;			/* how many there were */
	uint32_t ends_told;		/* of those, in `news` */
	struct sup_tree_end {
		int32_t pid, status;
	} end[SUP_TREE_ENDS];
};

/* Maps the record in RUN, making it, or reading what another keeps; NULL: cannot. first: of the struct. */
struct sup_tree *sup_tree_make(int run, bool first);
const struct sup_tree *sup_tree_open(int run);
void sup_tree_close(const struct sup_tree *t);

/*
 * A task was made by a thread of group `parent`, in group `child`: the same, or a new process. How many tasks are known that were
 * not before: a program's own first one is told of by nobody until it makes another.
 */
int sup_tree_clone(struct sup_tree *t, int parent, int child);
/* A thread of a group ended, with a wait status. How many tasks that were known are no more: one or none. */
int sup_tree_exit(struct sup_tree *t, int group, int status);
/* The keeper has been asked what has happened until now, and is about to look. */
void sup_tree_hear(struct sup_tree *t);
/* A turn of the keeper's loop has ended: who has asked before it looked, or waits for the end of a program, is told. */
void sup_tree_turn(struct sup_tree *t);
/* Before one asks: how many questions were heard. And whether one that was asked since is answered. */
uint32_t sup_tree_ask(const struct sup_tree *t);
bool sup_tree_answers(const struct sup_tree *t, uint32_t asked);
/* How much news there was; waits for more than that, at most so many seconds. */
uint32_t sup_tree_news(const struct sup_tree *t);
void sup_tree_wait(const struct sup_tree *t, uint32_t news, double seconds);
/* How the program of this pid ended; false: it is not known. */
bool sup_tree_status(const struct sup_tree *t, int pid, int *status);
/* The next descendant of a program at or after *at; 0: no more. */
int sup_tree_next(const struct sup_tree *t, int root, size_t *at);

#endif
