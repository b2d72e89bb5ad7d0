/* SPDX-License-Identifier: MIT */
#include "guest_files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest_collect.h"
#include "guest_io.h"
#include "guest_open.h"
#include "guest_tree.h"
#include "sbx_wire.h"

/* Whoever asked has given up by then. */
#define SECONDS 25.0
/* Of a walk that matches: by far more than can be looked at in its time. */
#define ENTRIES 1000000

/* What came, with a NUL behind it. */
static unsigned char frame[SBX_WIRE_HEADER + SBX_WIRE_DATA_MAX + 1];
static double began;

/* --- in ------------------------------------------------------------------------------------------------------------------- */

static int target = -1;
static char target_path[PATH_MAX];

static void close_target(void)
{
	if (target >= 0 && close(target) < 0)
		guest_io_fail('E', target_path, strerror(errno));
	target = -1;
}

static int open_target(const char *path, mode_t bits)
{
	return open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, bits);
}

static void put(const char *path, const char *mode)
{
	mode_t bits = (mode_t)strtoul(mode, NULL, 8) & 07777;
	struct stat st;

	(void)snprintf(target_path, sizeof(target_path), "%s", path);
	target = open_target(path, bits);
	if (target < 0 && errno == ENOENT) {
		guest_tree_parents(path);
		target = open_target(path, bits);
	}
	if (target >= 0 && (fstat(target, &st) < 0 || !S_ISREG(st.st_mode)))
		errno = EINVAL;
	else if (target >= 0 && fchmod(target, bits) == 0)
		return;
	guest_io_fail('E', path, strerror(errno));
	if (target >= 0)
		(void)close(target);
	target = -1;
}

static void put_data(const unsigned char *bytes, size_t n)
{
	while (n && target >= 0) {
		ssize_t w = write(target, bytes, n);

		if (w <= 0) {
			guest_io_fail('E', target_path, strerror(errno));
			(void)close(target);
			target = -1;
			return;
		}
		bytes += w;
		n -= (size_t)w;
	}
}

static int make_directory(const char *path)
{
	struct stat st;

	guest_tree_parents(path);
	if (mkdir(path, 0777) == 0)
		return chmod(path, 0777);
	int saved = errno;

	if (saved == EEXIST && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return 0;
	errno = saved;
	return -1;
}

static int rename_to(const char *from, const char *to)
{
	struct stat st;

	if (lstat(from, &st) < 0)
		return -1;
	guest_tree_parents(to);
	return rename(from, to);
}

/* --- out ------------------------------------------------------------------------------------------------------------------ */

static void get(const char *path, unsigned long long max)
{
	struct stat st;
	const char *why;
	int fd = guest_open_file(AT_FDCWD, path, max, &st, &why);

	if (fd < 0) {
		guest_io_fail('E', path, why);
		return;
	}
	(void)guest_io_file(fd, path, &st, 0);
	(void)close(fd);
}

static int look(const char *path)
{
	char link[PATH_MAX];
	struct stat st;

	if (lstat(path, &st) < 0)
		return -1;
	ssize_t n = S_ISLNK(st.st_mode) ? readlink(path, link, sizeof(link) - 1) : 0;

	link[n > 0 ? n : 0] = '\0';
	guest_io_entry(path, &st, link);
	return 0;
}

/* --- frames --------------------------------------------------------------------------------------------------------------- */

/* The next NUL-terminated string of a payload, "" at its end. */
static const char *next(char **at, char *end)
{
	char *s = *at;

	if (s >= end)
		return "";
	*at = s + strlen(s) + 1;
	return s;
}

static uint64_t number(char **at, char *end)
{
	return strtoull(next(at, end), NULL, 10);
}

static void collect(char *at, char *end)
{
	struct guest_collect c = { .until = began + strtod(next(&at, end), NULL), .entries = ENTRIES };

	c.bytes = number(&at, end);
	c.files = number(&at, end);
	c.skips = number(&at, end);
	c.names = number(&at, end);
	while (at < end)
		guest_collect(&c, next(&at, end));
}

/* What is asked about one path, or about a path and another. */
static int serve_path(uint8_t type, const char *path, char *at, char *end, double until)
{
	unsigned depth;

	switch (type) {
	case 'l':
		depth = (unsigned)number(&at, end);
		return guest_tree_list(path, depth, number(&at, end), until);
	case 'r':
		return guest_tree_remove(path, until);
	case 's':
		return look(path);
	case 'm':
		return make_directory(path);
	case 'v':
		return rename_to(path, next(&at, end));
	case 'y':
		return guest_tree_copy(path, next(&at, end), until);
	default:
		return 0;
	}
}

static const char *reason(int error)
{
	return error == ENOENT ? "missing" : error == E2BIG ? "too big" : error == ETIMEDOUT ? "out of time" : strerror(error);
}

static void serve(uint8_t type, char *payload, size_t n)
{
	char *at = payload, *end = payload + n;

	if (type == 'D') {
		put_data((unsigned char *)payload, n);
		return;
	}
	close_target();
	if (type == 'c') {
		collect(at, end);
		return;
	}
	const char *path = next(&at, end);

	if (type == 'P')
		put(path, next(&at, end));
	else if (type == 'g')
		get(path, number(&at, end));
	else if (serve_path(type, path, at, end, guest_io_now() + SECONDS) < 0)
		guest_io_fail('E', path, reason(errno));
}

int guest_files(double now)
{
	uint8_t type = 0;
	uint32_t n;

	began = now;
	while (type != 'G') {
		if (guest_io_read(frame, SBX_WIRE_HEADER) < 0)
			return 125;
		n = frame[0] | (uint32_t)frame[1] << 8 | (uint32_t)frame[2] << 16 | (uint32_t)frame[3] << 24;
		type = frame[4];
		if (n > SBX_WIRE_DATA_MAX || guest_io_read(frame, n) < 0)
			return 125;
		frame[n] = '\0';
		serve(type, (char *)frame, n);
	}
	close_target();
	guest_io_say('Z', NULL, 0);
	return 0;
}
