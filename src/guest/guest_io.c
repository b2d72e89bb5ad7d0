/* SPDX-License-Identifier: MIT */
#include "guest_io.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "sbx_wire.h"

static void write_all(const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t w = write(1, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			_exit(125);
		p += w;
		n -= (size_t)w;
	}
}

int guest_io_read(void *bytes, size_t n)
{
	for (char *p = bytes; n;) {
		ssize_t r = read(0, p, n);

		if (r < 0 && errno == EINTR)
			continue;
		if (r <= 0)
			return -1;
		p += r;
		n -= (size_t)r;
	}
	return 0;
}

void guest_io_say(uint8_t type, const char *const part[], unsigned parts)
{
	static unsigned char out[SBX_WIRE_HEADER + 3 * PATH_MAX];
	size_t n = 0;

	for (unsigned i = 0; i < parts; i++) {
		size_t len = strnlen(part[i], PATH_MAX - 1);

		if (SBX_WIRE_HEADER + n + len + 1 > sizeof(out))
			return;
		memcpy(out + SBX_WIRE_HEADER + n, part[i], len);
		n += len;
		out[SBX_WIRE_HEADER + n++] = '\0';
	}
	sbx_wire_put_header(out, type, (uint32_t)n);
	write_all(out, SBX_WIRE_HEADER + n);
}

void guest_io_fail(uint8_t type, const char *path, const char *why)
{
	guest_io_say(type, (const char *const[]){ path, why }, 2);
}

const char *guest_io_kind(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : S_ISFIFO(mode) ? "fifo" :
	       S_ISSOCK(mode) ? "socket" : "device";
}

struct words {
	char mode[16], size[32], mtime[48];
};

static struct words words_of(const struct stat *st)
{
	struct words w;

	(void)snprintf(w.mode, sizeof(w.mode), "%03o", (unsigned)(st->st_mode & 07777));
	(void)snprintf(w.size, sizeof(w.size), "%lld", (long long)st->st_size);
	(void)snprintf(w.mtime, sizeof(w.mtime), "%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
	return w;
}

void guest_io_entry(const char *name, const struct stat *st, const char *target)
{
	struct words w = words_of(st);

	guest_io_say('N', (const char *const[]){ name, guest_io_kind(st->st_mode), w.mode, w.size, w.mtime, target }, 6);
}

int64_t guest_io_file(int fd, const char *name, const struct stat *st, double until)
{
	static unsigned char data[SBX_WIRE_HEADER + SBX_WIRE_DATA_MAX];
	struct words w = words_of(st);
	int64_t left = st->st_size;

	guest_io_say('F', (const char *const[]){ name, w.mode, w.size }, 3);
	while (left > 0) {
		size_t want = left < SBX_WIRE_DATA_MAX ? (size_t)left : SBX_WIRE_DATA_MAX;
		ssize_t n = read(fd, data + SBX_WIRE_HEADER, want);

		if (n <= 0)
			break;	/* it shrank: the size that was told shows it */
		sbx_wire_put_header(data, 'D', (uint32_t)n);
		write_all(data, SBX_WIRE_HEADER + (size_t)n);
		left -= n;
		if (left > 0 && until > 0 && guest_io_now() > until)
			return -1;
	}
	return st->st_size - left;
}

double guest_io_now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}
