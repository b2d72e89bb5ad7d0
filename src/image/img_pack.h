/* SPDX-License-Identifier: MIT
 *
 * img_pack: a directory as one EROFS file, which a sandbox takes as its root.
 */
#ifndef IMG_PACK_H
#define IMG_PACK_H

#include "img_pull.h"

/*
 * Packs w->source into w->out, which is there when it is complete. w->ids: the first of the host's ids that its owners were mapped to;
 * NULL or "user": they are what they are. Tells `done`. -1: told.
 */
int img_pack(const struct img_want *w);

#endif
