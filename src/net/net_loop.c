/* SPDX-License-Identifier: MIT */
#include "net_loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#define EVENTS 64

int net_loop_init(struct net_loop *l)
{
	l->epoll = epoll_create1(EPOLL_CLOEXEC);
	return l->epoll < 0 ? -1 : 0;
}

void net_loop_destroy(struct net_loop *l)
{
	if (l->epoll >= 0)
		(void)close(l->epoll);
	l->epoll = -1;
}

int net_loop_watch(struct net_loop *l, struct net_watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };

	if (w->events == (events | EPOLLERR))
		return 0;
	if (epoll_ctl(l->epoll, w->events ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, w->fd, &e) < 0)
		return -1;
	w->events = events | EPOLLERR;	/* which epoll always tells, so that a watch of nothing else is not 0 */
	return 0;
}

void net_loop_drop(struct net_loop *l, struct net_watch *w)
{
	if (w->fd >= 0 && w->events)
		(void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, w->fd, NULL);
	w->events = 0;
}

void net_loop_close(struct net_watch *w)
{
	if (w->fd >= 0)
		(void)close(w->fd);
	w->fd = -1;
	w->events = 0;
}

int net_loop_turn(struct net_loop *l, int milliseconds)
{
	struct epoll_event e[EVENTS];
	int n = epoll_wait(l->epoll, e, EVENTS, milliseconds);

	if (n < 0)
		return errno == EINTR ? 0 : -1;
	for (int i = 0; i < n; i++) {
		struct net_watch *w = e[i].data.ptr;

		if (w->events)	/* not dropped by what was called before it */
			w->ready(w, e[i].events);
	}
	return 0;
}
