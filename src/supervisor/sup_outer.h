/* SPDX-License-Identifier: MIT
 *
 * sup_outer: the machine's own limits, which are nobody's in a request: a memory or pids cgroup above the run's, the kernel's OOM
 * killer. What these do is neither the program's doing nor a limit of its own.
 */
#ifndef SUP_OUTER_H
#define SUP_OUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sup_cgroup.h"

struct sup_outer {
	uint64_t kills;		/* of the whole machine, for want of memory, before runsc was started */
};

void sup_outer_init(struct sup_outer *o);

/*
 * Whether a sandbox that did not end well was killed for want of memory, and not of its own; `told`: it told of an end of its own. `who`
 * gets words for it. The run's own groups must still be there.
 */
bool sup_outer_killed(const struct sup_outer *o, const struct sup_cgroup *c, bool told, char *who, size_t size);

/* Whether a sandbox that died was refused processes by a group that is full, or, by its last words, by the user's own limit. */
bool sup_outer_refused(const struct sup_cgroup *c, const char *words, char *who, size_t size);

#endif
