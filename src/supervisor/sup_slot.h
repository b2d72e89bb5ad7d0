/* SPDX-License-Identifier: MIT
 *
 * sup_slot: turns to boot. A boot is some 100 ms of one core: as many at once as there are cores boot best, and more only
 * wait longer, until they are out of their boot_timeout. A turn is a lock on one of the files state_dir/.boot-N, so it is
 * shared by all processes that share the directory, and ends with its holder. They are had in the order of asking; a free
 * turn that those before us leave alone for as many tries as they are is taken all the same, for they may be dead.
 */
#ifndef SUP_SLOT_H
#define SUP_SLOT_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds after which to try again. */
#define SUP_SLOT_RETRY 10

struct sup_slot {
	int lock;			/* -1: none */
	struct sup_slot_queue *queue;	/* state_dir/.boot-queue, shared; NULL: none */
	bool waits;			/* it has a number */
	uint32_t number, seen_free;
};

/* Tries to get a turn; never waits. true: it is had, or there are no turns here. The first try queues. */
bool sup_slot_try(struct sup_slot *s, const char *state_dir);
/* Gives it back; once more does no harm. */
void sup_slot_release(struct sup_slot *s);

#endif
