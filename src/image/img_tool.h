/* SPDX-License-Identifier: MIT
 *
 * img_tool: runs skopeo, umoci, gzip, mkfs.erofs: found in the trusted directories alone, with no descriptor of ours, killed with us.
 */
#ifndef IMG_TOOL_H
#define IMG_TOOL_H

#include <stdint.h>
#include <sys/types.h>

#define IMG_TOOL_SAID 900

struct img_tool {
	const char *phase;	/* as it is told while it runs */
	const char *package;	/* Debian's, which has it */
	int watch;		/* a directory whose files' bytes are told and bounded by max; -1: none */
	uint64_t max;		/* bytes of any file that it writes, and of all in `watch`; 0: not bounded */
	char said[IMG_TOOL_SAID];	/* the end of its stderr, fit to be shown */
};

/*
 * Runs argv to its end. 0: it ended with 0. -1: told (not_supported where it is not there; bad_rootfs where it wrote more than may be).
 * 1: it failed, and `said` has why.
 */
int img_tool_run(struct img_tool *t, const char *const argv[]);

/* Starts `gzip -dc` on a file; a descriptor of what it gives, and its pid. -1: told. */
int img_tool_gunzip(int file, pid_t *pid);
/* Its end: 0 where it had all. */
int img_tool_reap(pid_t pid);

#endif
