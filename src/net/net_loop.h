/* SPDX-License-Identifier: MIT
 *
 * net_loop: what all parts of sandbox-net wait in: one epoll, and what is to be done when a descriptor is ready.
 */
#ifndef NET_LOOP_H
#define NET_LOOP_H

#include <stdint.h>

struct net_watch {
	int fd;				/* -1: nothing is watched. Its owner's, who closes it after net_loop_drop */
	uint32_t events;		/* of epoll, as registered */
	void (*ready)(struct net_watch *w, uint32_t events);
	void *owner;			/* what it is a part of */
};

struct net_loop {
	int epoll;
};

int net_loop_init(struct net_loop *l);
void net_loop_destroy(struct net_loop *l);

/* Registers, changes what is waited for (0: errors alone), or does nothing where that is so already. -1: the kernel says no. */
int net_loop_watch(struct net_loop *l, struct net_watch *w, uint32_t events);
void net_loop_drop(struct net_loop *l, struct net_watch *w);
/* Closes its descriptor as well, of which there must be no other: then the kernel lets go of it by itself. */
void net_loop_close(struct net_watch *w);

/*
 * Waits up to that many milliseconds (-1: for ever) and calls what is ready. What is called may drop any watch, but the memory
 * of one must stay until the turn is over. -1: epoll itself failed.
 */
int net_loop_turn(struct net_loop *l, int milliseconds);

#endif
