/* SPDX-License-Identifier: MIT
 *
 * sup_meminfo: the guest is told of as much memory as it may use. gVisor tells it what /proc/meminfo says to be there
 * (runsc/sandbox/sandbox.go), and runtimes size their heaps by that.
 */
#ifndef SUP_MEMINFO_H
#define SUP_MEMINFO_H

#include "sup_dir.h"
#include "sup_request.h"

/* In the run's own mount namespace: covers the file. Where that cannot be, the guest sees the machine's: no limit is laxer for it. */
void sup_meminfo_place(const struct sup_request *r, const struct sup_dir *d);

#endif
