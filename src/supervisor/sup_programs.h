/* SPDX-License-Identifier: MIT
 *
 * sup_programs: RUN/programs, which programs are at work in a box. The supervisor of each has an entry, and holds a lock on it that
 * ends with that supervisor, however it ends: an entry that nobody holds is a program that nobody looks after any more, and the
 * box's supervisor kills it. And whether the box stands still, for what is to be killed in it must run to die.
 */
#ifndef SUP_PROGRAMS_H
#define SUP_PROGRAMS_H

#include <stdbool.h>
#include <stdint.h>

#define SUP_PROGRAMS_SLOTS 4096

enum sup_programs_state {
	SUP_PROGRAMS_FREE,
	SUP_PROGRAMS_ASKED,	/* it may appear in the box at any moment, or has; its pid is not known */
	SUP_PROGRAMS_KNOWN,
};

struct sup_programs {
	struct sup_programs_map {
		uint32_t used;		/* entries from here on never were */
		uint32_t still;		/* whether gVisor was told to let the box stand still */
		struct sup_programs_slot {
			uint32_t state;
			int32_t pid;		/* in the guest */
			uint8_t command;	/* it is reached by runsc's commands, */
			uint8_t abstract;	/* or over a socket without a file */
			uint8_t kept;		/* it goes on without a host (sup_keep.h) */
		} slot[SUP_PROGRAMS_SLOTS];
	} *map;
	int fd;			/* which holds the locks of its opener; -1: none */
	int mine;		/* the entry that we hold; -1: none */
};

#define SUP_PROGRAMS_NONE ((struct sup_programs){ .fd = -1, .mine = -1 })

/* Makes the record in RUN, or opens another's; -1: cannot. */
int sup_programs_make(struct sup_programs *p, int run);
int sup_programs_open(struct sup_programs *p, int run);
void sup_programs_close(struct sup_programs *p);

/* A program is going to be asked for, by us. -1: there are too many. */
int sup_programs_enter(struct sup_programs *p, bool command, bool abstract, bool kept);
/* How many there are that go on without a host. */
unsigned sup_programs_kept(const struct sup_programs *p);
/* It has a pid. */
void sup_programs_known(struct sup_programs *p, int pid);
/* It has ended, or never was: the entry, if any, is free. */
void sup_programs_leave(struct sup_programs *p);

/* The box's supervisor: takes over an entry that nobody holds, and is its holder until it leaves; false: there is none. */
bool sup_programs_adopt(struct sup_programs *p);

/*
 * Who starts a program passes a gate, and who lets the box stand still, or go on, shuts it until gVisor has: its kernel waits for its
 * tasks on a sync.WaitGroup, and dies ("reused before previous Wait has returned") of one that begins to run in the moment in which
 * all have stopped. Waits for its turn; whoever has not got it after SUP_PROGRAMS_GATE_SECONDS goes on without.
 */
#define SUP_PROGRAMS_GATE_SECONDS 10.0
void sup_programs_pass(struct sup_programs *p);
void sup_programs_shut(struct sup_programs *p);
/* Ends either; once more does no harm. */
void sup_programs_open_gate(struct sup_programs *p);

/*
 * The box is told to stand still by its host, and let go for a moment by who kills in it. Each pause of gVisor's is ended once, for of
 * one more its kernel dies: what is true here says who has to.
 */
void sup_programs_stands(struct sup_programs *p);
/* Whether it does: nothing is started in it then, and gVisor is not told once more. Asked by who has passed the gate, or shut it. */
bool sup_programs_still(const struct sup_programs *p);
/* The host lets it go on. Whether gVisor is still to be told. */
bool sup_programs_goes_on(struct sup_programs *p);
/* Who kills lets it go. Whether gVisor is to be told: nobody else has. */
bool sup_programs_lift(struct sup_programs *p);
/* And has let gVisor stop it again. false: the host has let it go on meanwhile, and so must gVisor. */
bool sup_programs_lower(struct sup_programs *p);

#endif
