/* SPDX-License-Identifier: MIT
 *
 * img_pack: a directory as one EROFS file.
 */
#ifndef IMG_PACK_H
#define IMG_PACK_H

#include "img_pull.h"

/* Packs w->source, whose owners are those of `ids` on, into w->out, which is there when it is complete. Tells `done`. -1: told. */
int img_pack(const struct img_want *w);

#endif
