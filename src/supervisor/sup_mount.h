/* SPDX-License-Identifier: MIT
 *
 * sup_mount: the namespaces of a run, and the file system that its guest will see, composed in them. The user's
 * directories are never written, the host's mount table never changes, and all of it goes with the last process.
 */
#ifndef SUP_MOUNT_H
#define SUP_MOUNT_H

#include <stddef.h>
#include <sys/types.h>

#include "sup_dir.h"
#include "sup_error.h"
#include "sup_request.h"
#include "sup_volume.h"

/* Moves the supervisor into namespaces of its own: mount always, network unless the host's is wanted, user as a user. */
int sup_mount_unshare(const struct sup_request *r, struct sup_error *e);
/* Composes RUN/m: root, work, tmp, and the mounts; of the volumes those that have a size are moved there. */
int sup_mount_compose(const struct sup_request *r, const struct sup_dir *d, const struct sup_volumes *v, struct sup_error *e);

#endif
