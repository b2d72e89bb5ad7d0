/* SPDX-License-Identifier: MIT */
#include "sup_tail.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

int sup_tail_init(struct sup_tail *t, uint64_t size)
{
	memset(t, 0, sizeof(*t));
	if (!size)
		return 0;
	t->turn = calloc(SUP_TAIL_TURNS, sizeof(*t->turn));
	/* Only what is written to takes memory. */
	t->ring = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (t->ring == MAP_FAILED)
		t->ring = NULL;
	t->size = size;
	return t->turn && t->ring ? 0 : -1;
}

void sup_tail_destroy(struct sup_tail *t)
{
	if (t->ring)
		(void)munmap(t->ring, t->size);
	free(t->turn);
	memset(t, 0, sizeof(*t));
}

static struct sup_tail_turn *turn(const struct sup_tail *t, unsigned i)
{
	return &t->turn[(t->turn_first + i) % SUP_TAIL_TURNS];
}

static void drop_turn(struct sup_tail *t)
{
	if (t->first < turn(t, 0)->end)
		t->first = turn(t, 0)->end;
	t->turn_first = (t->turn_first + 1) % SUP_TAIL_TURNS;
	t->turns--;
}

static void note(struct sup_tail *t, uint8_t type)
{
	if (t->turns && turn(t, t->turns - 1)->type == type) {
		turn(t, t->turns - 1)->end = t->end;
	} else {
		if (t->turns == SUP_TAIL_TURNS)
			drop_turn(t);
		*turn(t, t->turns++) = (struct sup_tail_turn){ .end = t->end, .type = type };
	}
	while (t->turns > 1 && turn(t, 0)->end <= t->first)
		drop_turn(t);
}

void sup_tail_add(struct sup_tail *t, uint8_t type, const unsigned char *bytes, size_t n)
{
	size_t skip = n > t->size ? n - (size_t)t->size : 0;

	if (!t->ring || !n)
		return;
	t->end += skip;
	for (size_t done = skip; done < n;) {
		uint64_t at = t->end % t->size;
		size_t piece = n - done < t->size - at ? n - done : (size_t)(t->size - at);

		memcpy(t->ring + at, bytes + done, piece);
		done += piece;
		t->end += piece;
	}
	if (t->end - t->first > t->size)
		t->first = t->end - t->size;
	note(t, type);
}

size_t sup_tail_read(const struct sup_tail *t, uint64_t at, uint8_t *type, unsigned char *to, size_t max)
{
	unsigned low = 0, high = t->turns;

	if (at < t->first || at >= t->end)
		return 0;
	while (low < high) {	/* the first turn that ends behind it */
		unsigned middle = low + (high - low) / 2;

		if (turn(t, middle)->end > at)
			high = middle;
		else
			low = middle + 1;
	}
	const struct sup_tail_turn *found = turn(t, low);
	uint64_t where = at % t->size, n = found->end - at;

	n = n < max ? n : max;
	n = n < t->size - where ? n : t->size - where;
	memcpy(to, t->ring + where, (size_t)n);
	*type = found->type;
	return (size_t)n;
}
