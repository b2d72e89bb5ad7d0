/* SPDX-License-Identifier: MIT
 *
 * img_volume: the end of a volume, a directory that sandboxes keep their files in (src/supervisor/sup_volume.h).
 */
#ifndef IMG_VOLUME_H
#define IMG_VOLUME_H

/* Removes dir/name with all that is in it, unless somebody has it; and what is left of earlier ones. Tells `done`. -1: told. */
int img_volume_remove(const char *dir, const char *name);

#endif
