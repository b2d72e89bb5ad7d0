/* SPDX-License-Identifier: MIT
 *
 * img_prune: images that go. One that is in use stays, whatever is asked.
 */
#ifndef IMG_PRUNE_H
#define IMG_PRUNE_H

#include "img_pull.h"

/* Forgets what a record (`name`) or a key stands for, and removes the image unless another record names it. Tells `removed`. -1: told. */
int img_remove(const struct img_want *w);

/*
 * Removes images that no record names, those that were not used for `unused` seconds and, where `bound`, the least lately used ones until
 * what is left is at most max_bytes. Tells `removed` of each. -1: told.
 */
int img_prune(const struct img_want *w);

#endif
