/* SPDX-License-Identifier: MIT
 *
 * img_tar: looks through a layer before anything unpacks it. What is written was written by a stranger: nothing in it may name a place
 * out of the root, hide what it holds, or be more than may be. umoci resolves each name within the root besides; this says no in words,
 * and first.
 */
#ifndef IMG_TAR_H
#define IMG_TAR_H

#include <stdint.h>

struct img_tar {
	uint64_t max_bytes, max_files;	/* of all layers together */
	uint64_t bytes, files, devices;	/* so far */
	char why[400];			/* what is wrong: hostile text in it */
};

/* Reads a layer, uncompressed, to its end. 0; -1: `why` has what is wrong with it. */
int img_tar_check(struct img_tar *t, int fd);

#endif
