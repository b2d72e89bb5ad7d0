/* SPDX-License-Identifier: MIT */
#include "img_tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "img_names.h"
#include "sbx_io.h"

#define BLOCK 512u
#define LONG_MAX_BYTES (1u << 20)	/* of an entry that belongs to the next: a name, or pax records */

/* Offsets and lengths in a header (POSIX.1-2001, pax: ustar interchange format). */
enum { NAME = 0, NAME_N = 100, SIZE = 124, SIZE_N = 12, SUM = 148, SUM_N = 8, TYPE = 156, LINK = 157, LINK_N = 100, MAGIC = 257, PREFIX = 345, PREFIX_N = 155 };

struct scan {
	struct img_tar *t;
	int fd;
	struct img_names others;	/* that are no directories */
	char *name, *link;		/* what the entries before said of the next; NULL: nothing */
	bool sized;
	uint64_t size, read;
};

static int refuse(struct scan *s, const char *what, const char *name)
{
	(void)snprintf(s->t->why, sizeof(s->t->why), "a layer has %s%s%.200s", what, name ? ": " : "", name ? name : "");
	return -1;
}

/* Exactly n bytes: 1; 0 at the end. -1: refused. All that is read counts: it is what unpacking reads, too. */
static int take(struct scan *s, void *out, size_t n)
{
	ssize_t got = sbx_io_read(s->fd, out, n);

	if (got < 0)
		return refuse(s, "bytes that cannot be read", strerror(errno));
	s->read += (uint64_t)got;
	/* Headers and padding come on top of what files hold. */
	if (s->read > s->t->max_bytes + BLOCK * 3 * s->t->max_files)
		return refuse(s, "more than max_image_bytes", NULL);
	return (size_t)got == n ? 1 : got == 0 ? 0 : refuse(s, "an end in the middle of an entry", NULL);
}

static int skip(struct scan *s, uint64_t n)
{
	char bytes[65536];
	uint64_t left = (n + BLOCK - 1) / BLOCK * BLOCK;

	while (left) {
		size_t piece = left < sizeof(bytes) ? (size_t)left : sizeof(bytes);
		int rc = take(s, bytes, piece);

		if (rc <= 0)
			return rc < 0 ? rc : refuse(s, "an end in the middle of an entry", NULL);
		left -= piece;
	}
	return 0;
}

/* What an entry holds as text, ended with a NUL; NULL: refused. The caller frees it. */
static char *body(struct scan *s, uint64_t size)
{
	size_t padded = (size_t)(size + BLOCK - 1) / BLOCK * BLOCK;
	char *text = size > LONG_MAX_BYTES ? NULL : malloc(padded + 1);

	if (!text) {
		(void)refuse(s, "a name that is too long", NULL);
		return NULL;
	}
	if (padded && take(s, text, padded) <= 0) {
		if (!s->t->why[0])
			(void)refuse(s, "an end in the middle of an entry", NULL);
		free(text);
		return NULL;
	}
	text[size] = '\0';
	return text;
}

/* Octal, or binary with the first bit set. -1: no number. */
static int number(const unsigned char *field, size_t n, uint64_t *out)
{
	uint64_t v = 0;
	size_t i = 0;

	if (field[0] & 0x80) {
		if (field[0] != 0x80)
			return -1;	/* negative, or beyond all that there is */
		for (i = 1; i < n; i++) {
			if (v >> 55)
				return -1;
			v = v << 8 | field[i];
		}
		*out = v;
		return 0;
	}
	while (i < n && (field[i] == ' ' || field[i] == '\0'))
		i++;
	for (; i < n && field[i] >= '0' && field[i] <= '7'; i++)
		v = v * 8 + (uint64_t)(field[i] - '0');
	*out = v;
	return i == n || field[i] == ' ' || field[i] == '\0' ? 0 : -1;
}

static bool sum_holds(const unsigned char *h)
{
	uint64_t want;
	unsigned plain = 0;
	int sign = 0;

	for (unsigned i = 0; i < BLOCK; i++) {
		unsigned char c = i >= SUM && i < SUM + SUM_N ? ' ' : h[i];

		plain += c;
		sign += (signed char)c;
	}
	return number(h + SUM, SUM_N, &want) == 0 && (want == plain || (int64_t)want == sign);
}

/* Replaces what was said before. */
static int keep(char **slot, const char *text)
{
	free(*slot);
	*slot = strdup(text);
	return *slot ? 0 : -1;
}

static int pax_record(struct scan *s, const char *key, const char *value, size_t n)
{
	char *end;

	if (!strncmp(key, "GNU.sparse.", 11))
		return refuse(s, "a sparse file", NULL);
	if (!strncmp(key, "SCHILY.xattr.", 13) && (!strncmp(key + 13, "trusted.", 8) || !strncmp(key + 13, "user.overlay.", 13)))
		return refuse(s, "an attribute that is the host's", key + 13);
	if ((!strcmp(key, "path") || !strcmp(key, "linkpath")) && (memchr(value, '\0', n) || keep(key[0] == 'p' ? &s->name : &s->link, value) < 0))
		return refuse(s, "a name with a NUL", NULL);
	if (!strcmp(key, "size")) {
		errno = 0;
		s->size = strtoull(value, &end, 10);
		s->sized = true;
		if (*end || !*value || *value == '-' || *value == '+' || errno)
			return refuse(s, "a size that is none", value);
	}
	return 0;
}

/* "LENGTH KEY=VALUE\n" after one another. */
static int pax(struct scan *s, char *text, size_t n)
{
	size_t at = 0;

	while (at < n) {
		char *space;
		unsigned long len = strtoul(text + at, &space, 10);

		if (*space != ' ' || !len || len > n - at || text[at + len - 1] != '\n' || (size_t)(space - (text + at)) >= len)
			return refuse(s, "pax records that are none", NULL);
		char *key = space + 1, *stop = text + at + len - 1;
		char *eq = memchr(key, '=', (size_t)(stop - key));

		if (!eq)
			return refuse(s, "pax records that are none", NULL);
		*eq = *stop = '\0';
		if (pax_record(s, key, eq + 1, (size_t)(stop - eq - 1)) < 0)
			return -1;
		at += len;
	}
	return 0;
}

/* An entry that only tells of the next one: 1; 0: it is none of these. */
static int telling(struct scan *s, char type, uint64_t size)
{
	if (type != 'x' && type != 'g' && type != 'L' && type != 'K')
		return 0;
	char *text = body(s, size);

	if (!text)
		return -1;
	int rc = type == 'x' ? pax(s, text, (size_t)size) : type == 'g' ? 0 : keep(type == 'L' ? &s->name : &s->link, text);

	free(text);
	return rc < 0 ? -1 : 1;
}

static int check_link(struct scan *s, const unsigned char *h, const char *name)
{
	char target[LINK_N + 1], plain[4096];

	(void)snprintf(target, sizeof(target), "%.*s", LINK_N, (const char *)h + LINK);
	const char *wrong = img_names_fit(s->link ? s->link : target, plain, sizeof(plain));

	return !wrong && plain[0] ? 0 : refuse(s, "a hard link out of the root", name);
}

/* A file, directory, link or device of the image. */
static int entry(struct scan *s, const unsigned char *h, char type)
{
	char own[PREFIX_N + NAME_N + 2], plain[4096];
	bool ustar = !memcmp(h + MAGIC, "ustar", 5) && h[MAGIC + 5] == '\0' && h[PREFIX];

	(void)snprintf(own, sizeof(own), "%.*s%s%.*s", ustar ? PREFIX_N : 0, (const char *)h + PREFIX, ustar ? "/" : "", NAME_N, (const char *)h + NAME);
	const char *name = s->name ? s->name : own, *wrong = img_names_fit(name, plain, sizeof(plain));
	bool directory = type == '5' || (type == '\0' && *name && name[strlen(name) - 1] == '/');

	if (wrong)
		return refuse(s, wrong, name);
	if (type && (type < '0' || type > '7'))
		return refuse(s, "an entry of no known type", name);
	if ((!plain[0] && !directory) || (directory && type == '\0' && s->size))
		return refuse(s, "an entry that is no directory in a directory's place", name);
	if (type == '1' && check_link(s, h, name) < 0)
		return -1;
	/* In one layer, which is the difference of two trees, nothing can lie below a link or a file. */
	if (img_names_blocked(&s->others, plain))
		return refuse(s, "an entry below a link or a file", name);
	if (plain[0] && img_names_set(&s->others, plain, directory) < 0)
		return refuse(s, "more names than there is memory for", NULL);
	s->t->devices += type == '3' || type == '4';
	if (++s->t->files > s->t->max_files)
		return refuse(s, "more than max_image_files", NULL);
	if (type == '0' || type == '\0' || type == '7') {
		s->t->bytes += s->size;
		if (s->size > s->t->max_bytes || s->t->bytes > s->t->max_bytes)
			return refuse(s, "more than max_image_bytes", NULL);
		return skip(s, s->size);
	}
	return 0;
}

static void forget(struct scan *s)
{
	free(s->name);
	free(s->link);
	s->name = s->link = NULL;
	s->sized = false;
}

static bool is_zero(const unsigned char *h)
{
	for (unsigned i = 0; i < BLOCK; i++)
		if (h[i])
			return false;
	return true;
}

/* 1: go on. 0: the end. */
static int next(struct scan *s)
{
	unsigned char h[BLOCK];
	uint64_t size;
	int rc = take(s, h, BLOCK);

	if (rc <= 0)
		return rc;
	if (is_zero(h)) {
		if ((rc = take(s, h, BLOCK)) <= 0)
			return rc;
		return is_zero(h) ? 0 : refuse(s, "something behind its end", NULL);
	}
	if (!sum_holds(h))
		return refuse(s, "a header that is none", NULL);
	if (number(h + SIZE, SIZE_N, &size) < 0)
		return refuse(s, "a size that is none", NULL);
	char type = (char)h[TYPE];

	rc = telling(s, type, size);
	if (rc)
		return rc;
	if (type == 'S')
		return refuse(s, "a sparse file", NULL);
	if (!s->sized)
		s->size = size;
	rc = entry(s, h, type);
	forget(s);
	return rc < 0 ? -1 : 1;
}

/* What follows the end is read by who unpacks, for the digest: it counts as well. */
static int drain(struct scan *s)
{
	char bytes[65536];
	ssize_t n;

	while ((n = sbx_io_read(s->fd, bytes, sizeof(bytes))) > 0) {
		s->read += (uint64_t)n;
		if (s->read > s->t->max_bytes + BLOCK * 3 * s->t->max_files)
			return refuse(s, "more than max_image_bytes", NULL);
	}
	return n < 0 ? refuse(s, "bytes that cannot be read", strerror(errno)) : 0;
}

int img_tar_check(struct img_tar *t, int fd)
{
	struct scan s = { .t = t, .fd = fd };
	int rc;

	t->why[0] = '\0';
	img_names_init(&s.others);
	while ((rc = next(&s)) > 0)
		;
	if (rc == 0)
		rc = drain(&s);
	forget(&s);
	img_names_destroy(&s.others);
	return rc;
}
