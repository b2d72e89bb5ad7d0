/* SPDX-License-Identifier: MIT
 *
 * sup_place: puts the files of a request in place before the program starts, in the host's view of the guest's
 * writable directories. Links in there are resolved as the guest would resolve them.
 */
#ifndef SUP_PLACE_H
#define SUP_PLACE_H

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"

struct sup_place {
	int fd;			/* of the file that D frames go to, -1: none */
	char name[512];
};

/* An F frame: "path\0mode\0from\0seen\0"; seen: "SIZE DEV INO" of what the host has looked at, where there is a from. */
int sup_place_open(struct sup_place *p, const struct sup_request *r, const struct sup_dir *d, const char *payload, size_t n,
		   struct sup_error *e);
int sup_place_write(struct sup_place *p, const void *bytes, size_t n, struct sup_error *e);
void sup_place_close(struct sup_place *p);

#endif
