/* SPDX-License-Identifier: MIT
 *
 * sup_store: the file system in which lies what a guest writes on the host's side: /work, /tmp, the upper layers of overlays. One tmpfs
 * of the run's own, of `disk` bytes, and below it nothing that anybody else sees.
 */
#ifndef SUP_STORE_H
#define SUP_STORE_H

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"

/* Mounts it at RUN/m/d, with RUN/m/work and RUN/m/tmp in it. */
int sup_store_make(const struct sup_request *r, const struct sup_dir *d, struct sup_error *e);
/* The layers' own needs are not the guest's: the store's size, and its files, begin where it begins to write. -1 and errno. */
int sup_store_begin(const struct sup_request *r, const struct sup_dir *d);

/* What a store may have none left of. */
enum { SUP_STORE_NO_BYTES = 1, SUP_STORE_NO_FILES };

/* Bytes used in it and in the layers that have a size of their own (sup_cow), and which of these it has none left of, or 0; -1: there is none. */
int sup_store_usage(const struct sup_request *r, const struct sup_dir *d, unsigned long long *used, int *full);

#endif
