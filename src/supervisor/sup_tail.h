/* SPDX-License-Identifier: MIT
 *
 * sup_tail: the last bytes that a program wrote to both of its streams, in order of arrival. A byte's offset is how many came before
 * it, on either stream. Where the streams take turns more than SUP_TAIL_TURNS times, less is kept than there is room for.
 */
#ifndef SUP_TAIL_H
#define SUP_TAIL_H

#include <stddef.h>
#include <stdint.h>

#define SUP_TAIL_TURNS 8192u

struct sup_tail {
	unsigned char *ring;	/* size bytes; NULL: nothing is kept */
	uint64_t size;
	uint64_t first, end;	/* offsets of the oldest byte that is kept, and behind the last */
	struct sup_tail_turn {
		uint64_t end;	/* so far it is this stream's */
		uint8_t type;	/* of its frames */
	} *turn;		/* a ring, too */
	unsigned turn_first, turns;
};

/* size: in bytes; 0: nothing is kept. -1: no memory for it. */
int sup_tail_init(struct sup_tail *t, uint64_t size);
void sup_tail_destroy(struct sup_tail *t);

void sup_tail_add(struct sup_tail *t, uint8_t type, const unsigned char *bytes, size_t n);

/* Copies what is at an offset, of one stream and at most `max` bytes: how many, and whose. first <= at <= end; 0: there is no more. */
size_t sup_tail_read(const struct sup_tail *t, uint64_t at, uint8_t *type, unsigned char *to, size_t max);

#endif
