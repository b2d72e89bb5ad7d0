/* SPDX-License-Identifier: MIT */
#include "guest_files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_wire.h"

#define DEPTH 64

/* What came, with a NUL behind it, and what goes: the former is still read while the latter is filled. */
static unsigned char frame[SBX_WIRE_HEADER + SBX_WIRE_DATA_MAX + 1], data[SBX_WIRE_HEADER + SBX_WIRE_DATA_MAX];

static void write_all(const void *bytes, size_t n)
{
	for (const char *p = bytes; n;) {
		ssize_t w = write(1, p, n);

		if (w < 0 && errno == EINTR)
			continue;
		if (w <= 0)
			_exit(125);	/* nobody listens */
		p += w;
		n -= (size_t)w;
	}
}

static int read_all(void *bytes, size_t n)
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

static void say(uint8_t type, const char *const part[], unsigned parts)
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

static void fail(uint8_t type, const char *path, const char *why)
{
	say(type, (const char *const[]){ path, why }, 2);
}

static const char *kind_of(mode_t mode)
{
	return S_ISREG(mode) ? "file" : S_ISDIR(mode) ? "directory" : S_ISLNK(mode) ? "link" : S_ISFIFO(mode) ? "fifo" :
	       S_ISSOCK(mode) ? "socket" : "device";
}

static void tell(uint8_t type, const char *name, const struct stat *st)
{
	char mode[16], size[32];

	(void)snprintf(mode, sizeof(mode), "%03o", (unsigned)(st->st_mode & 07777));
	(void)snprintf(size, sizeof(size), "%lld", (long long)st->st_size);
	if (type == 'N')
		say(type, (const char *const[]){ name, kind_of(st->st_mode), mode, size }, 4);
	else
		say(type, (const char *const[]){ name, mode, size }, 3);
}

/* Makes the directories above a path. */
static void make_parents(const char *path)
{
	char part[PATH_MAX];

	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		(void)snprintf(part, sizeof(part), "%.*s", (int)(slash - path), path);
		if (mkdir(part, 0777) == 0)
			(void)chmod(part, 0777);
	}
}

/* --- in ------------------------------------------------------------------------------------------------------------------- */

static int target = -1;
static char target_path[PATH_MAX];

static void close_target(void)
{
	if (target >= 0 && close(target) < 0)
		fail('E', target_path, strerror(errno));
	target = -1;
}

static void put(const char *path, const char *mode)
{
	mode_t bits = (mode_t)strtoul(mode, NULL, 8) & 07777;

	(void)snprintf(target_path, sizeof(target_path), "%s", path);
	make_parents(path);
	target = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, bits);
	if (target < 0 || fchmod(target, bits) < 0) {
		fail('E', path, strerror(errno));
		close_target();
	}
}

static void put_data(const unsigned char *bytes, size_t n)
{
	while (n && target >= 0) {
		ssize_t w = write(target, bytes, n);

		if (w <= 0) {
			fail('E', target_path, strerror(errno));
			(void)close(target);
			target = -1;
			return;
		}
		bytes += w;
		n -= (size_t)w;
	}
}

/* --- out ------------------------------------------------------------------------------------------------------------------ */

static uint64_t bytes_left = UINT64_MAX;

/* Sends an open file: as much as it had when it was looked at, no more, however fast it grows. */
static void send_file(int fd, const char *name, const struct stat *st)
{
	uint64_t left = (uint64_t)st->st_size;

	tell('F', name, st);
	bytes_left -= left;
	while (left) {
		size_t want = left < SBX_WIRE_DATA_MAX ? (size_t)left : SBX_WIRE_DATA_MAX;
		ssize_t n = read(fd, data + SBX_WIRE_HEADER, want);

		if (n <= 0)
			break;	/* it shrank: the size that was told shows it */
		sbx_wire_put_header(data, 'D', (uint32_t)n);
		write_all(data, SBX_WIRE_HEADER + (size_t)n);
		left -= (uint64_t)n;
	}
}

/* gVisor follows a link under O_NOFOLLOW in some builds: what was opened must be what was looked at. */
static bool same(int fd, const struct stat *seen, struct stat *now)
{
	return fstat(fd, now) == 0 && now->st_ino == seen->st_ino && now->st_dev == seen->st_dev &&
	       (now->st_mode & S_IFMT) == (seen->st_mode & S_IFMT);
}

/* A directory, never by way of a link; -1: errno says why. */
static int open_directory(int dir, const char *name)
{
	struct stat seen, now;

	if (fstatat(dir, name, &seen, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	int fd = S_ISDIR(seen.st_mode) ? openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC) : -1;

	if (!S_ISDIR(seen.st_mode) || (fd >= 0 && !same(fd, &seen, &now))) {
		if (fd >= 0)
			(void)close(fd);
		errno = ENOTDIR;
		return -1;
	}
	return fd;
}

/* type: what a refusal is, E or S. */
static void get_at(int dir, const char *entry, const char *name, uint8_t type)
{
	struct stat seen, st;
	const char *why = NULL;
	int fd = -1;

	if (fstatat(dir, entry, &seen, AT_SYMLINK_NOFOLLOW) < 0)
		why = errno == ENOENT || errno == ENOTDIR ? "missing" : strerror(errno);
	else if (!S_ISREG(seen.st_mode))
		why = kind_of(seen.st_mode);
	else if ((uint64_t)seen.st_size > bytes_left)
		why = "too big";
	else if ((fd = openat(dir, entry, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)) < 0)
		why = strerror(errno);
	else if (!same(fd, &seen, &st))	/* it may be another by now */
		why = "changed";
	else if ((uint64_t)st.st_size > bytes_left)
		why = "too big";
	else
		send_file(fd, name, &st);
	if (fd >= 0)
		(void)close(fd);
	if (why)
		fail(type, name, why);
}

static void list(const char *path)
{
	int fd = open_directory(AT_FDCWD, path);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct stat st;

	if (!dir) {
		fail('E', path, errno == ENOENT ? "missing" : strerror(errno));
		if (fd >= 0)
			(void)close(fd);
		return;
	}
	for (struct dirent *d; (d = readdir(dir));)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0 &&
		    fstatat(dirfd(dir), d->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			tell('N', d->d_name, &st);
	(void)closedir(dir);
}

static int remove_at(int dir, const char *name, int depth)
{
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	if (depth > DEPTH || (errno != EISDIR && errno != EPERM))
		return -1;
	int fd = open_directory(dir, name);
	DIR *sub = fd < 0 ? NULL : fdopendir(fd);

	if (!sub)
		return -1;
	for (struct dirent *d; (d = readdir(sub));)
		if (strcmp(d->d_name, ".") != 0 && strcmp(d->d_name, "..") != 0)
			(void)remove_at(dirfd(sub), d->d_name, depth + 1);
	(void)closedir(sub);
	return unlinkat(dir, name, AT_REMOVEDIR);
}

/* --- what matches --------------------------------------------------------------------------------------------------------- */

static struct {
	uint64_t files;
	bool found;
} walk;

static void match(int dir, const char *pattern, const char *prefix, int depth);

/* The entry has matched this part of the pattern: either the pattern ends here, or it goes on below. */
static void matched(int dir, const char *entry, const char *rest, const char *prefix, int depth)
{
	char name[PATH_MAX];
	struct stat st;

	if (snprintf(name, sizeof(name), "%s%s", prefix, entry) >= (int)sizeof(name))
		return;
	if (!rest) {
		walk.found = true;
		if (fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode))
			return;
		if (walk.files == 0) {
			fail('S', name, "too many");
			return;
		}
		walk.files--;
		get_at(dir, entry, name, 'S');
		return;
	}
	int fd = open_directory(dir, entry);

	if (fd < 0)
		return;
	if (strlen(name) + 1 < sizeof(name))
		match(fd, rest, strcat(name, "/"), depth + 1);
	(void)close(fd);
}

static void match_entries(int dir, const char *part, const char *pattern, const char *rest, const char *prefix, int depth)
{
	bool any = !strcmp(part, "**");
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);

	if (!d) {
		if (copy >= 0)
			(void)close(copy);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (any) {	/* any number of directories: this one more */
			matched(dir, e->d_name, pattern, prefix, depth);
			if (!rest)
				matched(dir, e->d_name, NULL, prefix, depth);
		} else if (fnmatch(part, e->d_name, FNM_PERIOD) == 0) {
			matched(dir, e->d_name, rest, prefix, depth);
		}
	}
	(void)closedir(d);
}

static void match(int dir, const char *pattern, const char *prefix, int depth)
{
	char part[NAME_MAX + 1];
	const char *slash = strchr(pattern, '/'), *rest = slash ? slash + 1 : NULL;
	size_t n = slash ? (size_t)(slash - pattern) : strlen(pattern);

	if (depth > DEPTH || n >= sizeof(part))
		return;
	memcpy(part, pattern, n);
	part[n] = '\0';
	if (!strcmp(part, "**") && rest)	/* or none */
		match(dir, rest, prefix, depth + 1);
	if (strpbrk(part, "*?["))
		match_entries(dir, part, pattern, rest, prefix, depth);
	else if (*part && strcmp(part, "..") != 0)
		matched(dir, part, rest, prefix, depth);
}

static void collect(const char *pattern)
{
	bool absolute = *pattern == '/';
	int dir = open(absolute ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	walk.found = false;
	if (dir >= 0) {
		match(dir, pattern + absolute, absolute ? "/" : "", 0);
		(void)close(dir);
	}
	if (!walk.found)
		fail('S', pattern, "missing");
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

static void serve(uint8_t type, char *payload, size_t n)
{
	char *at = payload, *end = payload + n;

	if (type == 'D') {
		put_data((unsigned char *)payload, n);
		return;
	}
	close_target();
	const char *path = next(&at, end);

	if (type == 'P') {
		put(path, next(&at, end));
	} else if (type == 'g') {
		bytes_left = strtoull(next(&at, end), NULL, 10);
		get_at(AT_FDCWD, path, path, 'E');
	} else if (type == 'l') {
		list(path);
	} else if (type == 'r' && remove_at(AT_FDCWD, path, 0) < 0) {
		fail('E', path, errno == ENOENT ? "missing" : strerror(errno));
	} else if (type == 'c') {
		bytes_left = strtoull(path, NULL, 10);
		walk.files = strtoull(next(&at, end), NULL, 10);
		while (at < end)
			collect(next(&at, end));
	}
}

int guest_files(void)
{
	uint8_t type = 0;
	uint32_t n;

	while (type != 'G') {
		if (read_all(frame, SBX_WIRE_HEADER) < 0)
			return 125;
		n = frame[0] | (uint32_t)frame[1] << 8 | (uint32_t)frame[2] << 16 | (uint32_t)frame[3] << 24;
		type = frame[4];
		if (n > SBX_WIRE_DATA_MAX || read_all(frame, n) < 0)
			return 125;
		frame[n] = '\0';
		serve(type, (char *)frame, n);
	}
	close_target();
	say('Z', NULL, 0);
	return 0;
}
