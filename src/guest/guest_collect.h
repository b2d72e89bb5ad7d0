/* SPDX-License-Identifier: MIT
 *
 * guest_collect: the files that match, out of a tree that an attacker has made. A tree is walked once for each pattern, whatever
 * the pattern; entries, names, bytes, depth and time are bounded as they come, and what was left out is told with a reason.
 */
#ifndef GUEST_COLLECT_H
#define GUEST_COLLECT_H

#include <stdint.h>

struct guest_collect {
	double until;			/* of guest_io_now */
	uint64_t bytes, files;		/* of contents, of files: what is left of them */
	uint64_t skips, names;		/* of files that are left out, of bytes in names */
	uint64_t entries;		/* that are looked at */
};

/* Sends what matches (F and D), and S for what does not come. A pattern that was not looked through to its end is an S, too. */
void guest_collect(struct guest_collect *c, const char *pattern);

#endif
