/* SPDX-License-Identifier: MIT */
#include "guest_collect.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "guest_io.h"
#include "guest_open.h"

/* Directories below one another, a descriptor each; and parts of a pattern. */
#define LEVELS 200
#define PARTS 256
#define WORDS (PARTS / 64)
/* Between two looks at the clock. */
#define CLOCK_ENTRIES 16
/* What a name costs besides its bytes. */
#define NAME_COST 32

static struct part {
	char text[NAME_MAX + 1];
	bool any;	/* ** */
	bool glob;	/* a name with *, ? or [ */
} part[PARTS];

/* Which parts may come next: the pattern is in all of these places at once, so no entry is looked at twice. */
struct places {
	uint64_t bit[WORDS];
};

static struct {
	struct guest_collect *c;
	unsigned parts;
	bool found;
	const char *blocked;	/* what was where a directory was asked for */
	const char *stopped;	/* why the walk ended early */
	bool silent;		/* something was left out that could not be told by its name */
	char path[PATH_MAX];
} walk;

static bool has(const struct places *p, unsigned i)
{
	return p->bit[i / 64] >> (i % 64) & 1;
}

/* With what may come at once: ** stands for no directory, too. */
static void add(struct places *p, unsigned i)
{
	p->bit[i / 64] |= 1ull << (i % 64);
	if (part[i].any && i + 1 < walk.parts)
		add(p, i + 1);
}

static bool is_empty(const struct places *p)
{
	uint64_t all = 0;

	for (unsigned i = 0; i < WORDS; i++)
		all |= p->bit[i];
	return !all;
}

static void skip(const char *name, const char *why)
{
	struct guest_collect *c = walk.c;
	size_t cost = strlen(name) + NAME_COST;

	walk.found = true;
	if (!c->skips || c->names < cost) {
		walk.silent = true;
		if (!c->files)
			walk.stopped = "too many";
		return;
	}
	c->skips--;
	c->names -= cost;
	guest_io_fail('S', name, why);
}

static void take(int dir, const char *entry, const char *name)
{
	struct guest_collect *c = walk.c;
	struct stat st;
	const char *why;
	int fd = guest_open_file(dir, entry, c->bytes, &st, &why);

	walk.found = true;
	if (fd >= 0 && (!c->files || c->names < strlen(name) + NAME_COST)) {
		why = "too many";
	} else if (fd >= 0) {
		c->files--;
		c->names -= strlen(name) + NAME_COST;
		c->bytes -= (uint64_t)st.st_size;
		if (guest_io_file(fd, name, &st, c->until) < 0) {
			guest_io_fail('S', name, "out of time");	/* in place of what was sent */
			walk.stopped = "out of time";
		}
	}
	if (fd >= 0)
		(void)close(fd);
	if (why)
		skip(name, why);
}

static bool spent(void)
{
	struct guest_collect *c = walk.c;

	if (!walk.stopped && !c->entries)
		walk.stopped = "too many";
	else if (!walk.stopped && --c->entries % CLOCK_ENTRIES == 0 && guest_io_now() > c->until)
		walk.stopped = "out of time";
	return walk.stopped != NULL;
}

static void look_into(int dir, const char *entry, const struct places *at, unsigned depth, size_t length);

/* 0: it is gone. Most builds tell it with the name, which spares half of the calls. */
static mode_t kind_of(int dir, const char *entry, unsigned char type)
{
	struct stat st;

	if (type != DT_UNKNOWN)
		return DTTOIF(type);
	return fstatat(dir, entry, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_mode & S_IFMT;
}

/* One entry: where the pattern is behind it, and whether it is at its end. `asked`: by its own name. */
static void look_at(int dir, const char *entry, unsigned char type, const struct places *at, unsigned depth, size_t length)
{
	struct places next = { { 0 } };
	bool end = false, asked = false;

	if (spent())
		return;
	for (unsigned i = 0; i < walk.parts; i++) {
		if (!has(at, i) || (!part[i].any && (part[i].glob ? fnmatch(part[i].text, entry, FNM_PERIOD) : strcmp(part[i].text, entry)) != 0))
			continue;
		asked = asked || (!part[i].any && !part[i].glob);
		if (part[i].any)
			add(&next, i);
		else if (i + 1 < walk.parts)
			add(&next, i + 1);
		end = end || i + 1 == walk.parts;
	}
	if (!end && is_empty(&next))
		return;
	if (length + strlen(entry) + 2 > sizeof(walk.path)) {
		skip(walk.path, "too deep");
		return;
	}
	mode_t kind = kind_of(dir, entry, type);

	if (!kind)
		return;
	(void)snprintf(walk.path + length, sizeof(walk.path) - length, "%s", entry);
	if (S_ISDIR(kind)) {
		if (end && asked)
			skip(walk.path, "directory");
		if (!is_empty(&next))
			look_into(dir, entry, &next, depth, length + strlen(entry));
	} else if (end && S_ISREG(kind)) {
		take(dir, entry, walk.path);
	} else if (end) {
		skip(walk.path, guest_io_kind(kind));
	} else if (asked) {
		walk.blocked = guest_io_kind(kind);
	}
	walk.path[length] = '\0';
}

static void look_into(int dir, const char *entry, const struct places *at, unsigned depth, size_t length)
{
	bool names = true;
	DIR *d = NULL;
	int fd = -1;

	for (unsigned i = 0; i < walk.parts; i++)
		names = names && !(has(at, i) && (part[i].any || part[i].glob));
	if (depth >= LEVELS)
		errno = 0;
	else if (names)	/* those that are asked for by name need no search */
		fd = guest_open_directory(dir, entry);
	else if ((d = guest_open_entries(dir, entry)))
		fd = dirfd(d);
	if (fd < 0) {
		skip(depth ? walk.path : "/", depth >= LEVELS ? "too deep" : guest_open_why(errno));
		return;
	}
	if (depth)
		walk.path[length++] = '/';
	walk.path[length] = '\0';
	for (unsigned i = 0; names && i < walk.parts; i++)
		if (has(at, i))
			look_at(fd, part[i].text, DT_UNKNOWN, at, depth + 1, length);
	for (struct dirent *e; d && !walk.stopped && (e = readdir(d));)
		if (!guest_open_is_dots(e->d_name))
			look_at(fd, e->d_name, e->d_type, at, depth + 1, length);
	(void)(d ? closedir(d) : close(fd));
}

/* Takes a pattern apart; false: it is none that can match. */
static bool split(const char *pattern)
{
	walk.parts = 0;
	while (*pattern) {
		size_t n = strcspn(pattern, "/");
		struct part *p = &part[walk.parts];

		if (n && !(n == 1 && *pattern == '.')) {
			if (walk.parts == PARTS || n >= sizeof(p->text) || (n == 2 && !memcmp(pattern, "..", 2)))
				return false;
			memcpy(p->text, pattern, n);
			p->text[n] = '\0';
			p->any = !strcmp(p->text, "**");
			p->glob = !p->any && strpbrk(p->text, "*?[") != NULL;
			/* Two in a row are one. */
			walk.parts += !(p->any && walk.parts && part[walk.parts - 1].any);
		}
		pattern += n + (pattern[n] == '/');
	}
	return walk.parts > 0;
}

void guest_collect(struct guest_collect *c, const char *pattern)
{
	struct places first = { { 0 } };
	bool absolute = *pattern == '/';

	walk.c = c;
	walk.found = walk.silent = false;
	walk.blocked = NULL;
	walk.stopped = guest_io_now() > c->until ? "out of time" : NULL;
	walk.path[0] = '\0';
	if (split(pattern) && !walk.stopped) {
		add(&first, 0);
		(void)snprintf(walk.path, sizeof(walk.path), "%s", absolute ? "/" : "");
		look_into(AT_FDCWD, absolute ? "/" : ".", &first, 0, absolute ? 1 : 0);
	}
	if (walk.stopped || walk.silent)
		guest_io_fail('S', pattern, walk.stopped ? walk.stopped : "too many");
	else if (!walk.found)
		guest_io_fail('S', pattern, walk.blocked ? walk.blocked : "missing");
}
