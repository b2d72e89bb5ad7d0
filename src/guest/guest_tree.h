/* SPDX-License-Identifier: MIT
 *
 * guest_tree: what is done with all that is below a path. Bounded in depth or needing none, and in time.
 */
#ifndef GUEST_TREE_H
#define GUEST_TREE_H

/* Each returns 0, or -1 with errno; until: of guest_io_now, then ETIMEDOUT. */

/* Removes a file, or a directory of any depth. */
int guest_tree_remove(const char *path, double until);
/* Copies a file, a link, or a directory with all below it that is one of these. What is there is written over. */
int guest_tree_copy(const char *from, const char *to, double until);
/* Sends an N for each entry, named from the directory on, as deep as said (1: its own). max: more than so many are E2BIG. */
int guest_tree_list(const char *path, unsigned depth, unsigned long long max, double until);
/* Makes the directories above a path, for everybody: the place is private. */
void guest_tree_parents(const char *path);

#endif
