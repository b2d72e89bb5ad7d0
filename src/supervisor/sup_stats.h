/* SPDX-License-Identifier: MIT
 *
 * sup_stats: RUN/stats, a small record in which a box's supervisor tells those of its programs what it alone sees. They open
 * it at their start and can read it even after the box's directory is gone.
 */
#ifndef SUP_STATS_H
#define SUP_STATS_H

#include <stdint.h>

struct sup_stats {
	uint64_t memory_peak;	/* bytes, since the box's start */
	uint64_t failed_forks;
	double cpu;		/* seconds; < 0: not known */
	int32_t pid;		/* of its runsc, once it has started */
	uint32_t ended;		/* enum sup_outcome + 1 of the box's end; 0: it lives */
	uint32_t ends;		/* what was measured at the end of so many programs (sup_tree's `ends`) is in here */
	uint32_t disk_full;	/* readings that found no room, and calls that did */
	uint32_t short_writes;	/* sup_trace's */
	uint32_t throttled;	/* periods in which its quota was used up */
	uint32_t cgroup;	/* enum sup_cgroup_version */
	uint32_t peak;		/* tasks that lived at once, our helper's first process among them; 0: not known */
	uint32_t lost;		/* gVisor could not tell all that happened */
	uint32_t cpus_held;	/* by a quota; else by whole cores, or not at all */
};

/* Makes the record in RUN, 0600, or opens it to read; -1: cannot. The descriptor is the caller's. */
int sup_stats_make(int run);
int sup_stats_open(int run);
void sup_stats_write(int fd, const struct sup_stats *s);
/* All zero where there is nothing to read. */
struct sup_stats sup_stats_read(int fd);

#endif
