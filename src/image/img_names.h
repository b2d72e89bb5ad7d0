/* SPDX-License-Identifier: MIT
 *
 * img_names: the names in a layer: whether one is fit, and which of them are no directories, below which nothing may lie.
 */
#ifndef IMG_NAMES_H
#define IMG_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Hashes of names, seeded; in a set a 0 is a free place. */
struct img_names {
	uint64_t *slot;
	size_t room, n;
	uint64_t seed;
};

void img_names_init(struct img_names *s);
void img_names_destroy(struct img_names *s);

/*
 * Looks at a name: without "..", not too long or deep, no whiteout of what is no name. One that begins with / is one of the root, too
 * (`umoci insert` writes such). `plain`: it becomes what was cleaned of "." and "//", "" for the root; of `room` bytes. NULL, or what is
 * wrong with it.
 */
const char *img_names_fit(const char *name, char *plain, size_t room);

/* Whether something above the plain name is known to be no directory. */
bool img_names_blocked(const struct img_names *s, const char *plain);
/* The plain name is no directory, or is one again. -1: no memory. */
int img_names_set(struct img_names *s, const char *plain, bool directory);

#endif
