/* SPDX-License-Identifier: MIT
 *
 * sbx_self: who the calling thread is to the kernel, as far as a child inherits it: what a zygote of that time still is.
 */
#ifndef SBX_SELF_H
#define SBX_SELF_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define SBX_SELF_GROUPS 64
#define SBX_SELF_NAMESPACES 7
#define SBX_SELF_CORES 1024

struct sbx_self {
	pid_t pid;
	uid_t uid[4];			/* real, effective, saved, file system */
	gid_t gid[4];
	int groups_n;			/* all of them; where they are more than there is room for, nobody is the same */
	gid_t groups[SBX_SELF_GROUPS];
	uint32_t caps[6];		/* as capget(2) has effective, permitted and inheritable */
	uint64_t bounding, ambient;
	int no_new_privs, securebits, seccomp, nice;
	uint64_t cores[SBX_SELF_CORES / 64];		/* that it may use */
	char ns[SBX_SELF_NAMESPACES][32];	/* as /proc names them; empty where something else tells */
	uint64_t net;			/* its cookie (socket(7), Linux 5.14) */
	uint64_t root_dev, root_ino, root_mount;
};

/*
 * Fills it in; what the machine does not tell is 0. `sock` is a socket that this thread has just made, by which the kernel tells the
 * network namespace sooner than /proc does; -1: by /proc. It holds up the caller for some 30 us, most of them for the links in /proc.
 */
void sbx_self_read(struct sbx_self *s, int sock);

/* Whether nothing has changed. */
bool sbx_self_same(const struct sbx_self *a, const struct sbx_self *b);

#endif
