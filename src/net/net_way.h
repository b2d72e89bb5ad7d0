/* SPDX-License-Identifier: MIT
 *
 * net_way: one direction of a connection. What one socket has is moved to the other through a pipe, which the kernel does without
 * copying it; what the other does not take at once waits in a buffer, which exists while there is any.
 */
#ifndef NET_WAY_H
#define NET_WAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define NET_WAY_BYTES (64u * 1024u)	/* the most that waits, and that is moved at once */

struct net_way {
	unsigned char *bytes;
	size_t off, len;	/* of what waits */
	uint64_t passed;	/* written */
	bool ended, closed;	/* its reader has seen the end; its writer was told */
};

/* What all of them go through, one at a time: it is empty between two calls. */
struct net_pipe {
	int fd[2];
};

/* -1: the kernel gives none. */
int net_pipe_init(struct net_pipe *p);
void net_pipe_destroy(struct net_pipe *p);

/*
 * Moves up to `most` bytes, NET_WAY_BYTES at most, where nothing waits. How many were read; 0: none at the moment, or the end, which
 * `ended` says; -1: it broke. The pipe is empty afterwards.
 */
ssize_t net_way_move(struct net_way *w, const struct net_pipe *p, int in, int out, size_t most);
/* Writes what waits and, when nothing does any more, the end. -1: it broke. */
int net_way_write(struct net_way *w, int out);
void net_way_destroy(struct net_way *w);

#endif
