/* SPDX-License-Identifier: MIT */
#include "sup_host.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sbx_time.h"

#define IN_FIRST (128u * 1024u)
#define LATER_SECONDS 0.004

int sup_host_pidfd(int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0 || peer.pid <= 0)
		return -1;
	return (int)syscall(SYS_pidfd_open, peer.pid, 0);
}

int sup_host_init(struct sup_host *h, int fd, int line)
{
	memset(h, 0, sizeof(*h));
	h->fd = fd;
	h->line = line;
	h->pidfd = -1;
	h->in_cap = IN_FIRST;
	h->in = malloc(h->in_cap);
	h->out = malloc(SUP_HOST_OUT);
	if (!h->in || !h->out)
		return -1;
	(void)fcntl(fd, F_SETFD, FD_CLOEXEC);
	(void)fcntl(fd, F_SETFL, O_NONBLOCK);
	if (line >= 0) {
		(void)fcntl(line, F_SETFD, FD_CLOEXEC);
		(void)fcntl(line, F_SETFL, O_NONBLOCK);
	}
	/* A host that forked keeps the socket open after its death: its pidfd does not lie. */
	h->pidfd = sup_host_pidfd(fd);
	return 0;
}

static void drop_line(struct sup_host *h)
{
	if (h->line >= 0)
		(void)close(h->line);
	h->line = -1;
}

int sup_host_signal(struct sup_host *h)
{
	unsigned char signo;
	ssize_t n = h->line < 0 ? 0 : read(h->line, &signo, 1);

	if (n == 1)
		return signo;
	if (n == 0 || (errno != EAGAIN && errno != EINTR))
		drop_line(h);
	return -1;
}

void sup_host_destroy(struct sup_host *h)
{
	if (h->fd >= 0)
		close(h->fd);
	drop_line(h);
	if (h->pidfd >= 0)
		close(h->pidfd);
	free(h->in);
	free(h->out);
	h->in = h->out = NULL;
	h->fd = h->pidfd = -1;
}

/* The frame at the start of the buffer may be larger than the buffer. */
static int make_room(struct sup_host *h)
{
	uint8_t type;
	uint32_t n = 0;

	if (sbx_wire_get_header(h->in, h->in_len, &type, &n) < 0)
		return -1;
	size_t want = SBX_WIRE_HEADER + (size_t)n;

	if (want < IN_FIRST)
		want = IN_FIRST;
	if (want <= h->in_cap)
		return h->in_len < h->in_cap ? 0 : -1;
	unsigned char *in = realloc(h->in, want);

	if (!in)
		return -1;
	h->in = in;
	h->in_cap = want;
	return 0;
}

int sup_host_recv(struct sup_host *h)
{
	if (h->fd < 0 || make_room(h) < 0)
		return -1;
	ssize_t n = recv(h->fd, h->in + h->in_len, h->in_cap - h->in_len, MSG_DONTWAIT);

	if (n > 0) {
		h->in_len += (size_t)n;
		return 1;
	}
	return n < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
}

int sup_host_next(struct sup_host *h, uint8_t *type, const unsigned char **payload, uint32_t *n)
{
	static const unsigned char nothing[1];
	int rc;

	/* Here, and not by whoever takes frames: the host asks when it has heard nothing for too long. One that has no room for an
	 * answer has something to read. */
	while ((rc = sbx_wire_get_header(h->in, h->in_len, type, n)) > 0 && *type == SBX_WIRE_PING) {
		(void)sup_host_put(h, SBX_WIRE_PING, NULL, 0);
		(void)sup_host_flush(h);
		sup_host_drop(h);
	}
	if (rc <= 0)
		return rc;
	if (h->in_len < SBX_WIRE_HEADER + (size_t)*n)
		return 0;
	*payload = *n ? h->in + SBX_WIRE_HEADER : nothing;
	return 1;
}

void sup_host_answer(struct sup_host *h)
{
	const unsigned char *payload;
	uint8_t type;
	uint32_t n;

	if (!h || sup_host_recv(h) < 0)
		return;
	while (sup_host_next(h, &type, &payload, &n) > 0)
		sup_host_drop(h);
}

void sup_host_drop(struct sup_host *h)
{
	uint8_t type;
	uint32_t n;

	if (sbx_wire_get_header(h->in, h->in_len, &type, &n) <= 0)
		return;
	size_t used = SBX_WIRE_HEADER + (size_t)n;

	h->in_len -= used;
	memmove(h->in, h->in + used, h->in_len);
}

int sup_host_wait(struct sup_host *h, uint8_t *type, const unsigned char **payload, uint32_t *n)
{
	for (;;) {
		int rc = sup_host_next(h, type, payload, n);

		if (rc)
			return rc;
		struct pollfd p[2] = { { .fd = h->fd, .events = POLLIN }, { .fd = h->pidfd, .events = POLLIN } };

		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return -1;
		if (p[1].revents || sup_host_recv(h) < 0)
			return -1;
	}
}

static void compact(struct sup_host *h)
{
	if (h->out_off) {
		memmove(h->out, h->out + h->out_off, h->out_len);
		h->out_off = 0;
	}
}

unsigned char *sup_host_room(struct sup_host *h)
{
	size_t need = SBX_WIRE_HEADER + SBX_WIRE_DATA_MAX + SUP_HOST_RESERVE;

	if (h->fd < 0 || h->out_len + need > SUP_HOST_OUT)
		return NULL;
	if (h->out_off + h->out_len + need > SUP_HOST_OUT)
		compact(h);
	return h->out + h->out_off + h->out_len + SBX_WIRE_HEADER;
}

void sup_host_commit(struct sup_host *h, uint8_t type, uint32_t n)
{
	sbx_wire_put_header(h->out + h->out_off + h->out_len, type, n);
	h->out_len += SBX_WIRE_HEADER + n;
	h->later = 0;
}

bool sup_host_put(struct sup_host *h, uint8_t type, const void *payload, uint32_t n)
{
	if (h->fd < 0 || h->out_len + SBX_WIRE_HEADER + n > SUP_HOST_OUT)
		return false;
	if (h->out_off + h->out_len + SBX_WIRE_HEADER + n > SUP_HOST_OUT)
		compact(h);
	if (n)
		memcpy(h->out + h->out_off + h->out_len + SBX_WIRE_HEADER, payload, n);
	sup_host_commit(h, type, n);
	return true;
}

bool sup_host_put_later(struct sup_host *h, uint8_t type, const void *payload, uint32_t n)
{
	double later = h->out_len ? h->later : sbx_time_now() + LATER_SECONDS;

	if (!sup_host_put(h, type, payload, n))
		return false;
	h->later = later;
	return true;
}

bool sup_host_sends(const struct sup_host *h)
{
	return h->out_len && (h->later <= 0 || h->later <= sbx_time_now());
}

int sup_host_flush(struct sup_host *h)
{
	if (h->fd >= 0 && h->out_len && !sup_host_sends(h))
		return 0;
	h->later = 0;
	while (h->fd >= 0 && h->out_len) {
		ssize_t n = send(h->fd, h->out + h->out_off, h->out_len, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR ? 0 : -1;
		h->out_off += (size_t)n;
		h->out_len -= (size_t)n;
	}
	h->out_off = h->out_len ? h->out_off : 0;
	return h->fd < 0 ? -1 : 0;
}

int sup_host_sleep(const struct sup_host *h, double seconds)
{
	double limit = sbx_time_now() + seconds, left;

	while ((left = limit - sbx_time_now()) > 0) {
		struct pollfd p[2] = { { .fd = h->fd, .events = POLLRDHUP }, { .fd = h->pidfd, .events = POLLIN } };

		if (poll(p, 2, (int)(left * 1000) + 1) > 0)
			return -1;
	}
	return 0;
}

int sup_host_drain(struct sup_host *h)
{
	while (h->out_len) {
		struct pollfd p[2] = { { .fd = h->fd, .events = POLLOUT }, { .fd = h->pidfd, .events = POLLIN } };

		if (sup_host_flush(h) < 0)
			return -1;
		if (h->out_len && poll(p, 2, -1) < 0 && errno != EINTR)
			return -1;
		if (h->out_len && p[1].revents)
			return -1;
	}
	return 0;
}
