/* SPDX-License-Identifier: MIT
 *
 * sup_cow: mounts of the type `cow`: a directory of the host's under a private upper layer, which goes with the run. The directory is
 * never written. As root its owner is the guest's user there, where the kernel can map ids below an overlay (Linux 5.19) and its file
 * system can have them mapped; elsewhere, and for files of others, permissions are as on the host.
 */
#ifndef SUP_COW_H
#define SUP_COW_H

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"

/*
 * Composes each at RUN/m/c/N, which runsc gets as a bind's source. One of no size has its layer in the store. With r->inside one of no
 * size is part of the root instead, above which the sentry keeps what is written: `root` is that, open, and has the place.
 */
int sup_cow_make(const struct sup_request *r, const struct sup_dir *d, int root, struct sup_error *e);

/* Bytes used in the layers that have a size of their own. */
unsigned long long sup_cow_usage(const struct sup_request *r, const struct sup_dir *d);

#endif
