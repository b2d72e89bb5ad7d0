/* SPDX-License-Identifier: MIT */
#include "net_way.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int net_pipe_init(struct net_pipe *p)
{
	if (pipe2(p->fd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -1;
	/* A page of it holds what came in one packet: 16 pages could be spent before NET_WAY_BYTES are. Less will do. */
	(void)fcntl(p->fd[1], F_SETPIPE_SZ, 4 * NET_WAY_BYTES);
	return 0;
}

void net_pipe_destroy(struct net_pipe *p)
{
	(void)close(p->fd[0]);
	(void)close(p->fd[1]);
}

static bool comes_later(void)
{
	return errno == EAGAIN || errno == EINTR;
}

/* What the pipe still has, into the buffer: there is as much as was put in. */
static int keep(struct net_way *w, const struct net_pipe *p, size_t n)
{
	w->bytes = malloc(NET_WAY_BYTES);
	w->off = w->len = 0;
	while (w->bytes && w->len < n) {
		ssize_t got = read(p->fd[0], w->bytes + w->len, n - w->len);

		if (got <= 0 && errno != EINTR)
			break;
		w->len += got > 0 ? (size_t)got : 0;
	}
	return w->bytes && w->len == n ? 0 : -1;
}

/* The connection ends: what the pipe has of it must not become another's. */
static void empty(const struct net_pipe *p)
{
	unsigned char scratch[4096];
	ssize_t n;

	do
		n = read(p->fd[0], scratch, sizeof(scratch));
	while (n > 0 || (n < 0 && errno == EINTR));
}

ssize_t net_way_move(struct net_way *w, const struct net_pipe *p, int in, int out, size_t most)
{
	if (w->ended || w->len)
		return 0;
	ssize_t n = splice(in, NULL, p->fd[1], NULL, most < NET_WAY_BYTES ? most : NET_WAY_BYTES, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (n < 0)
		return comes_later() ? 0 : -1;
	w->ended = n == 0;
	for (size_t left = (size_t)n; left;) {
		ssize_t sent = splice(p->fd[0], NULL, out, NULL, left, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent <= 0 && ((sent < 0 && errno != EAGAIN) || keep(w, p, left) < 0)) {
			empty(p);
			return -1;
		}
		if (sent <= 0)
			break;
		left -= (size_t)sent;
		w->passed += (uint64_t)sent;
	}
	return n;
}

int net_way_write(struct net_way *w, int out)
{
	if (w->len) {
		ssize_t n = send(out, w->bytes + w->off, w->len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return comes_later() ? 0 : -1;
		w->off += (size_t)n;
		w->len -= (size_t)n;
		w->passed += (uint64_t)n;
	}
	if (!w->len)
		net_way_destroy(w);
	if (!w->len && w->ended && !w->closed) {
		w->closed = true;
		(void)shutdown(out, SHUT_WR);
	}
	return 0;
}

void net_way_destroy(struct net_way *w)
{
	free(w->bytes);
	w->bytes = NULL;
}
