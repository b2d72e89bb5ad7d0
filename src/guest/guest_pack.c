/* SPDX-License-Identifier: MIT */
#include "guest_pack.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sbx_io.h"
#include "sbx_wire.h"

/* Directories below one another, a descriptor each. */
#define LEVELS 200
/* A chunk's kinds, as sbx_wire frames: a directory begins, a file's content follows, a link, content, a directory ends, all ends. */
enum { DIRECTORY = 'M', FILE_BEGIN = 'P', LINK = 'Y', CONTENT = 'D', DIRECTORY_END = 'X', END = 'Z' };

static unsigned char frame[SBX_WIRE_HEADER + SBX_WIRE_DATA_MAX + 1];
static unsigned char *const payload = frame + SBX_WIRE_HEADER;
static char path[PATH_MAX];

/* Of a long path its end will do. */
#define SHOWN 80

static int fail(const char *why)
{
	size_t n = strlen(path);

	(void)fprintf(stderr, "%s%s: %s\n", n > SHOWN ? "..." : "", n > SHOWN ? path + n - SHOWN : n ? path : ".", why);
	return -1;
}

/* --- out ------------------------------------------------------------------------------------------------------------------ */

static uint64_t bytes_left, entries_left;
static char *const *left_out;	/* paths; a NULL ends them */

static bool is_left_out(void)
{
	for (char *const *p = left_out; p && *p; p++)
		if (!strcmp(*p, path))
			return true;
	return false;
}

static int send(uint8_t type, size_t n)
{
	if (SBX_WIRE_HEADER + n > bytes_left)
		return fail("more than may go on");
	bytes_left -= SBX_WIRE_HEADER + n;
	sbx_wire_put_header(frame, type, (uint32_t)n);
	return sbx_io_write(1, frame, SBX_WIRE_HEADER + n) < 0 ? fail(strerror(errno)) : 0;
}

/* What an entry is: its path, mode, time of its last change, and where a link leads. */
static int send_entry(uint8_t type, const struct stat *st, const char *target)
{
	int n = snprintf((char *)payload, SBX_WIRE_DATA_MAX, "%s%c%o%c%lld.%09ld%c%s", path, 0, (unsigned)(st->st_mode & 07777), 0,
			 (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec, 0, target);

	return send(type, (size_t)n + 1);
}

static int send_file(int dir, const char *name, const struct stat *st)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	ssize_t n = 0;

	/* The owner may have taken its own right to read away, which is kept where it goes. */
	if (fd < 0 && errno == EACCES && fchmodat(dir, name, st->st_mode | 0400, 0) == 0)
		fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return fail(strerror(errno));
	int rc = send_entry(FILE_BEGIN, st, "");

	while (rc == 0 && (n = sbx_io_read(fd, payload, SBX_WIRE_DATA_MAX)) > 0)
		rc = send(CONTENT, (size_t)n);
	if (n < 0)
		rc = fail(strerror(errno));
	(void)close(fd);
	return rc;
}

static int send_directory(int dir, const char *name, size_t length, unsigned depth);

static int send_one(int dir, const char *name, size_t length, unsigned depth)
{
	char target[PATH_MAX];
	struct stat st;

	if (is_left_out())
		return 0;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : fail(strerror(errno));	/* what still runs may have removed it */
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !S_ISLNK(st.st_mode))
		return 0;
	if (entries_left-- == 0)
		return fail("more files than may go on");
	if (S_ISREG(st.st_mode))
		return send_file(dir, name, &st);
	if (S_ISLNK(st.st_mode)) {
		ssize_t n = readlinkat(dir, name, target, sizeof(target) - 1);

		if (n < 0)
			return errno == ENOENT || errno == EINVAL ? 0 : fail(strerror(errno));
		target[n] = '\0';
		return send_entry(LINK, &st, target);
	}
	if (send_entry(DIRECTORY, &st, "") < 0 || send_directory(dir, name, length, depth + 1) < 0)
		return -1;
	path[length] = '\0';
	return send_entry(DIRECTORY_END, &st, "");
}

/* length: of its own path, which its entries' begin with. */
static int send_directory(int dir, const char *name, size_t length, unsigned depth)
{
	if (depth > LEVELS)
		return fail("more directories below one another than may go on");
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0 && errno == EACCES && depth && fchmodat(dir, name, 0700, 0) == 0)
		fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	int rc = d ? 0 : fail(strerror(errno));

	for (struct dirent *e; rc == 0 && (e = readdir(d));) {
		int n = snprintf(path + length, sizeof(path) - length, "%s%s", length ? "/" : "", e->d_name);

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if ((size_t)n >= sizeof(path) - length)
			rc = fail("its path is too long");
		else
			rc = send_one(dirfd(d), e->d_name, length + (size_t)n, depth);
	}
	if (d)
		(void)closedir(d);
	else if (fd >= 0)
		(void)close(fd);
	return rc;
}

int guest_pack(const char *top, const char *bytes, const char *entries, char *const *without)
{
	left_out = without;
	bytes_left = strtoull(bytes, NULL, 10);
	entries_left = strtoull(entries, NULL, 10);
	if (send_directory(AT_FDCWD, top, 0, 0) < 0)
		return 1;
	bytes_left += SBX_WIRE_HEADER;
	return send(END, 0) < 0;
}

/* --- in ------------------------------------------------------------------------------------------------------------------- */

static struct {
	int fd;
	bool kept;	/* one of this name was there, which stays */
	mode_t mode;
	struct timespec times[2];
} file = { .fd = -1 };

static int end_file(void)
{
	int fd = file.fd, rc = 0;

	file.fd = -1;
	if (fd < 0)
		return 0;
	if (fchmod(fd, file.mode) < 0)
		rc = fail(strerror(errno));
	(void)futimens(fd, file.times);
	if (close(fd) < 0 && rc == 0)
		rc = fail(strerror(errno));
	return rc;
}

static int make(uint8_t type, mode_t mode, const struct timespec times[2], const char *target)
{
	switch (type) {
	case DIRECTORY:
		return mkdir(path, 0700) < 0 && errno != EEXIST ? -1 : 0;
	case DIRECTORY_END:
		(void)utimensat(AT_FDCWD, path, times, 0);
		return chmod(path, mode);
	case LINK:
		return symlink(target, path) < 0 && errno != EEXIST ? -1 : 0;
	case FILE_BEGIN:
		file.fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
		file.mode = mode;
		memcpy(file.times, times, sizeof(file.times));
		file.kept = file.fd < 0 && errno == EEXIST;
		return file.fd < 0 && !file.kept ? -1 : 0;
	default:
		errno = EPROTO;
		return -1;
	}
}

static int take(uint8_t type, size_t n)
{
	const char *at = (const char *)payload, *end = at + n, *part[4] = { "", "", "", "" };
	char *nanos;

	if (type == CONTENT)
		return file.fd >= 0 && sbx_io_write(file.fd, payload, n) < 0 ? fail(strerror(errno)) : file.fd < 0 && !file.kept ? fail("no file") : 0;
	if (end_file() < 0)
		return -1;
	for (unsigned i = 0; i < 4 && at < end; i++) {
		part[i] = at;
		at += strlen(at) + 1;
	}
	(void)snprintf(path, sizeof(path), "%s", part[0]);
	struct timespec t = { .tv_sec = strtoll(part[2], &nanos, 10) };

	t.tv_nsec = *nanos == '.' ? strtol(nanos + 1, NULL, 10) : 0;
	struct timespec times[2] = { t, t };

	return make(type, (mode_t)strtoul(part[1], NULL, 8) & 07777, times, part[3]) < 0 ? fail(strerror(errno)) : 0;
}

int guest_unpack(const char *top)
{
	if (chdir(top) < 0)
		return -fail(strerror(errno));
	for (;;) {
		if (sbx_io_read(0, frame, SBX_WIRE_HEADER) != SBX_WIRE_HEADER)
			return -fail("the end is missing");
		size_t n = frame[0] | (size_t)frame[1] << 8 | (size_t)frame[2] << 16 | (size_t)frame[3] << 24;
		uint8_t type = frame[4];

		if (n > SBX_WIRE_DATA_MAX || sbx_io_read(0, payload, n) != (ssize_t)n)
			return -fail("a part is missing");
		payload[n] = '\0';
		if (type == END)
			return -end_file();
		if (take(type, n) < 0)
			return 1;
	}
}
