/* SPDX-License-Identifier: MIT
 *
 * sup_hold: an image that is in use. Who removes one takes an exclusive lock on its directory first, and moves it away
 * (src/image/img_store.h); a shared one, held as long as the sandbox lives, keeps it.
 */
#ifndef SUP_HOLD_H
#define SUP_HOLD_H

#include "sup_error.h"

/* Holds it, and notes this as its last use. -1: e is set, the image is being removed, or is gone. */
int sup_hold_open(int *hold, const char *path, struct sup_error *e);
void sup_hold_close(int *hold);

#endif
