/* SPDX-License-Identifier: MIT
 *
 * sup_slot: turns to boot. A boot is some 100 ms of one core: as many at once as there are cores boot best, and more only
 * wait longer, until they are out of their boot_timeout. A turn is a lock on one of the files state_dir/.boot-N, so it is
 * shared by all processes that share the directory, and ends with its holder.
 */
#ifndef SUP_SLOT_H
#define SUP_SLOT_H

#include <stdbool.h>

/* Milliseconds after which to try again. */
#define SUP_SLOT_RETRY 10

/* Tries to get a turn; never waits. true: *lock holds it, or there are no turns here (*lock is -1). */
bool sup_slot_try(const char *state_dir, int *lock);
/* Gives it back; once more does no harm. */
void sup_slot_release(int *lock);

#endif
