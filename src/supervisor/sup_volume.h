/* SPDX-License-Identifier: MIT
 *
 * sup_volume: directories that are kept from one sandbox to the next, for one writer or many readers. Each is VOLUME_DIR/NAME; who has it
 * holds a lock on it, shared or exclusive, which ends with the supervisor, however that ends. VOLUME_DIR is this user's alone, for there
 * are files of guests' ids in it.
 */
#ifndef SUP_VOLUME_H
#define SUP_VOLUME_H

#include <stddef.h>

#include "sup_error.h"
#include "sup_host.h"
#include "sup_request.h"

struct sup_volumes {
	int *fd;	/* n of them, with their locks */
	size_t n;
};

/*
 * Makes those that are not there, and takes their locks; notes this as their last use. Who has just ended may still have one: that is
 * waited for, for SBX_VOLUME_SECONDS. -1: e is set, `busy` where somebody else has one.
 */
int sup_volume_hold(struct sup_volumes *v, const struct sup_request *r, const struct sup_host *h, struct sup_error *e);
void sup_volume_release(struct sup_volumes *v);

#endif
