/* SPDX-License-Identifier: MIT */
#include "guest_connect.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE (64u * 1024u)
#define AGAIN_MS 20

/* One direction: what was read and is not written yet. */
struct way {
	int in, out;		/* in -1: it has ended; out -1: that was told */
	size_t off, len;
	unsigned char bytes[PIECE];
};

static int connect_once(int family, unsigned port)
{
	union { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; } a;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	memset(&a, 0, sizeof(a));
	a.any.sa_family = (sa_family_t)family;
	if (family == AF_INET) {
		a.v4.sin_port = htons((uint16_t)port);
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else {
		a.v6.sin6_port = htons((uint16_t)port);
		a.v6.sin6_addr = in6addr_loopback;
	}
	if (fd >= 0 && connect(fd, &a.any, family == AF_INET ? sizeof(a.v4) : sizeof(a.v6)) < 0) {
		(void)close(fd);
		fd = -1;
	}
	return fd;
}

static int connect_within(unsigned port, unsigned milliseconds)
{
	for (unsigned waited = 0;; waited += AGAIN_MS) {
		int fd = connect_once(AF_INET, port);

		if (fd < 0)
			fd = connect_once(AF_INET6, port);
		if (fd >= 0 || waited >= milliseconds)
			return fd;
		(void)nanosleep(&(struct timespec){ .tv_nsec = AGAIN_MS * 1000000 }, NULL);
	}
}

/* false: it broke. */
static bool carry(struct way *w, bool socket_out)
{
	if (!w->len && w->in >= 0) {
		ssize_t n = read(w->in, w->bytes, sizeof(w->bytes));

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		w->off = 0;
		w->len = (size_t)n;
		if (n == 0)
			w->in = -1;
	}
	if (w->len) {
		ssize_t n = write(w->out, w->bytes + w->off, w->len);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		w->off += (size_t)n;
		w->len -= (size_t)n;
	}
	if (!w->len && w->in < 0 && w->out >= 0) {
		if (socket_out)
			(void)shutdown(w->out, SHUT_WR);
		else
			(void)close(w->out);
		w->out = -1;
	}
	return true;
}

static int relay(int fd)
{
	static struct way inward = { .in = 0 }, outward = { .out = 1 };

	inward.out = outward.in = fd;
	for (int i = 0; i < 3; i++) {
		int which = i == 2 ? fd : i;

		(void)fcntl(which, F_SETFL, fcntl(which, F_GETFL) | O_NONBLOCK);
	}
	while (outward.out >= 0 || inward.out >= 0) {
		/* A stdout whose reader is gone says so unasked. */
		struct pollfd p[] = {
			{ .fd = inward.len ? -1 : inward.in, .events = POLLIN }, { .fd = inward.len ? inward.out : -1, .events = POLLOUT },
			{ .fd = outward.len ? -1 : outward.in, .events = POLLIN }, { .fd = outward.out, .events = (short)(outward.len ? POLLOUT : 0) },
		};

		if ((poll(p, 4, -1) < 0 && errno != EINTR) || p[3].revents & (POLLERR | POLLNVAL))
			return 2;
		if (((p[0].revents | p[1].revents) && !carry(&inward, true)) || ((p[2].revents | p[3].revents) && !carry(&outward, false)))
			return 2;
	}
	return 0;
}

int guest_connect(unsigned port, unsigned milliseconds)
{
	int fd = connect_within(port, milliseconds);

	return fd < 0 || write(1, "+", 1) != 1 ? 1 : relay(fd);
}
