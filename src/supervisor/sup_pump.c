/* SPDX-License-Identifier: MIT */
#include "sup_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

static int make_pipe(int *ours, int *theirs, bool we_read)
{
	int fd[2];

	if (pipe2(fd, O_CLOEXEC) < 0)
		return -1;
	*ours = we_read ? fd[0] : fd[1];
	*theirs = we_read ? fd[1] : fd[0];
	/* Only our end: O_NONBLOCK belongs to the open file, and the guest's end is another one. */
	(void)fcntl(*ours, F_SETFL, O_NONBLOCK);
	if (we_read)	/* fewer wake-ups for a guest that writes much; without it the default holds */
		(void)fcntl(*ours, F_SETPIPE_SZ, 1024 * 1024);
	return 0;
}

static int init_stream(struct sup_stream *s, const struct sup_request *r)
{
	s->limit = r->output;
	s->tail = r->output_tail && r->output;
	if (!s->tail)
		return 0;
	s->ring = mmap(NULL, s->limit, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (s->ring == MAP_FAILED)
		s->ring = NULL;
	return s->ring ? 0 : -1;
}

int sup_pump_init(struct sup_pump *p, const struct sup_request *r, int child[3])
{
	memset(p, 0, sizeof(*p));
	p->in_fd = p->first_fd = p->out[0].fd = p->out[1].fd = -1;
	p->out[0].type = SBX_WIRE_STDOUT;
	p->out[1].type = SBX_WIRE_STDERR;
	child[0] = child[1] = child[2] = -1;
	p->in = malloc(SBX_WIRE_WINDOW);
	if (!p->in || make_pipe(&p->in_fd, &child[0], false) < 0 || make_pipe(&p->out[0].fd, &child[1], true) < 0)
		return -1;
	if (init_stream(&p->out[0], r) < 0 || init_stream(&p->out[1], r) < 0)
		return -1;
	if (!r->stdin_open) {
		close(p->in_fd);
		p->in_fd = -1;
	}
	if (!r->stderr_to_stdout)
		return make_pipe(&p->out[1].fd, &child[2], true);
	child[2] = fcntl(child[1], F_DUPFD_CLOEXEC, 3);
	return child[2] < 0 ? -1 : 0;
}

static void drop_ring(struct sup_stream *s)
{
	if (s->ring)
		(void)munmap(s->ring, s->limit);
	s->ring = NULL;
}

int sup_pump_restart(struct sup_pump *p, const struct sup_request *r)
{
	int rc = 0;

	for (unsigned i = 0; i < 2; i++) {
		drop_ring(&p->out[i]);
		p->out[i].bytes = 0;
		p->out[i].truncated = false;
		rc |= init_stream(&p->out[i], r);
	}
	return rc;
}

void sup_pump_end(struct sup_pump *p)
{
	for (unsigned i = 0; i < 2; i++) {
		struct sup_stream *s = &p->out[i];
		int n = 0;

		if (s->ending)
			continue;
		s->ending = true;
		s->left = s->fd >= 0 && ioctl(s->fd, FIONREAD, &n) == 0 && n > 0 ? (uint64_t)n : 0;
	}
}

int sup_pump_answer(struct sup_pump *p, const void *bytes, size_t n)
{
	struct sup_stream *s = &p->out[0];
	struct sup_request whole = { .output = n, .output_tail = true };

	s->type = SBX_WIRE_STDOUT;
	if (init_stream(s, &whole) < 0)
		return -1;
	memcpy(s->ring, bytes, n);
	s->bytes = n;
	return 0;
}

void sup_pump_destroy(struct sup_pump *p)
{
	int *fds[4] = { &p->in_fd, &p->first_fd, &p->out[0].fd, &p->out[1].fd };

	for (unsigned i = 0; i < 4; i++) {
		if (*fds[i] >= 0)
			close(*fds[i]);
		*fds[i] = -1;
	}
	for (unsigned i = 0; i < 2; i++)
		drop_ring(&p->out[i]);
	free(p->in);
	p->in = NULL;
}

static void close_stdin(struct sup_pump *p)
{
	if (p->in_fd >= 0)
		close(p->in_fd);
	p->in_fd = -1;
	p->credit += p->in_len;		/* nobody will take them: the host need not wait */
	p->in_len = p->in_off = 0;
}

int sup_pump_feed(struct sup_pump *p, const unsigned char *bytes, size_t n)
{
	if (p->in_fd < 0 && !p->first_left) {
		p->credit += n;
		return 0;
	}
	if (n > SBX_WIRE_WINDOW - p->in_len)
		return -1;
	if (p->in_off + p->in_len + n > SBX_WIRE_WINDOW) {
		memmove(p->in, p->in + p->in_off, p->in_len);
		p->in_off = 0;
	}
	memcpy(p->in + p->in_off + p->in_len, bytes, n);
	p->in_len += n;
	return 0;
}

void sup_pump_feed_end(struct sup_pump *p)
{
	p->in_end = true;
}

static void close_first(struct sup_pump *p)
{
	if (p->first_fd >= 0)
		close(p->first_fd);
	p->first_fd = -1;
}

void sup_pump_first(struct sup_pump *p, int fd, uint64_t bytes)
{
	p->first_fd = fd;
	p->first_left = fd < 0 ? 0 : bytes;
	if (!p->first_left)
		close_first(p);
}

int sup_pump_in(const struct sup_pump *p)
{
	return p->first_left ? p->first_fd : p->in_fd;
}

static void taken(struct sup_pump *p, size_t n)
{
	p->in_off += n;
	p->in_len -= n;
	p->credit += n;
	if (!p->first_left)
		return;
	p->first_left -= n;
	if (!p->first_left)
		close_first(p);
}

void sup_pump_stdin(struct sup_pump *p, struct sup_host *h)
{
	while (p->in_len && (p->in_fd >= 0 || p->first_left)) {
		size_t most = p->first_left && p->first_left < p->in_len ? (size_t)p->first_left : p->in_len;
		int fd = sup_pump_in(p);
		ssize_t n = fd < 0 ? (ssize_t)most : write(fd, p->in + p->in_off, most);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n >= 0)
			taken(p, (size_t)n);
		else if (p->first_left)	/* EPIPE: the guest reads no more */
			close_first(p);
		else
			close_stdin(p);
	}
	if (!p->in_len)
		p->in_off = 0;
	if (p->in_end && !p->in_len)
		close_stdin(p);
	if (p->credit) {
		unsigned char le[4];

		for (unsigned i = 0; i < 4; i++)
			le[i] = (unsigned char)(p->credit >> (8 * i));
		if (sup_host_put(h, SBX_WIRE_CREDIT, le, 4))
			p->credit = 0;
	}
}

static bool beyond(const struct sup_stream *s)
{
	return s->tail || (s->limit && s->bytes >= s->limit);
}

bool sup_pump_wants(const struct sup_stream *s, struct sup_host *h)
{
	return s->fd >= 0 && (beyond(s) || sup_host_room(h));
}

static void keep_in_ring(struct sup_stream *s, const unsigned char *bytes, size_t n)
{
	for (size_t done = 0; done < n;) {
		uint64_t at = (s->bytes + done) % s->limit;
		size_t piece = n - done < s->limit - at ? n - done : (size_t)(s->limit - at);

		memcpy(s->ring + at, bytes + done, piece);
		done += piece;
	}
}

int sup_pump_read(struct sup_stream *s, struct sup_host *h)
{
	static unsigned char scratch[SBX_WIRE_DATA_MAX];
	bool drop = beyond(s);
	unsigned char *to = drop ? scratch : sup_host_room(h);

	if (s->fd < 0)
		return -1;
	if (!to)
		return 0;
	ssize_t n = read(s->fd, to, s->ending && s->left < SBX_WIRE_DATA_MAX ? s->left : SBX_WIRE_DATA_MAX);

	if (n < 0 && (errno == EINTR || (errno == EAGAIN && !s->ending)))
		return errno == EINTR;
	if (n < 0 && errno != EAGAIN)
		s->failed = errno;	/* what it wrote is lost: nobody may take that for an end */
	if (n <= 0) {
		/* The program may go on without this stream. (Of a tail the bytes are still to come.) */
		if (!s->ending && !s->tail)
			(void)sup_host_put_later(h, s->type, NULL, 0);
		close(s->fd);
		s->fd = -1;
		return -1;
	}
	uint64_t before = s->bytes, count = (uint64_t)n;

	s->left -= s->ending ? count : 0;
	if (s->tail)
		keep_in_ring(s, scratch, count);
	s->bytes += count;
	if (s->limit && s->bytes > s->limit)
		s->truncated = true;
	if (!drop) {
		uint64_t fits = s->limit && s->limit - before < count ? s->limit - before : count;

		sup_host_commit(h, s->type, (uint32_t)fits);
	}
	return 1;
}

bool sup_pump_tail(struct sup_stream *s, struct sup_host *h)
{
	uint64_t kept = s->bytes < s->limit ? s->bytes : s->limit;

	while (s->tail && s->sent < kept) {
		unsigned char *to = sup_host_room(h);

		if (!to)
			return false;
		uint64_t at = (s->bytes - kept + s->sent) % s->limit;
		uint64_t n = kept - s->sent;

		n = n < s->limit - at ? n : s->limit - at;
		n = n < SBX_WIRE_DATA_MAX ? n : SBX_WIRE_DATA_MAX;
		memcpy(to, s->ring + at, n);
		sup_host_commit(h, s->type, (uint32_t)n);
		s->sent += n;
	}
	return true;
}
