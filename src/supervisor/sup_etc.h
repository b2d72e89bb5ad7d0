/* SPDX-License-Identifier: MIT
 *
 * sup_etc: the host's /etc in a composed root: all of it, beneath a private layer that takes away what the request names and whatever
 * not everybody may read. One mount, however much there is.
 */
#ifndef SUP_ETC_H
#define SUP_ETC_H

#include "sup_request.h"

/*
 * Mounts it at `etc` of `root`, made here; the layer lies in the directory `base`. flags: as mount(2). -1 and errno where this kernel
 * or file system does not: nothing is mounted then, and the directory is there.
 */
int sup_etc_mount(int root, int base, const struct sup_request *r, unsigned long flags);

/* Writes the request's own files there, "NAME CONTENT" each, for the guest's root. -1 and errno. */
int sup_etc_write(int root, const struct sup_request *r);

#endif
