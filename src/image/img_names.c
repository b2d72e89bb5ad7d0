/* SPDX-License-Identifier: MIT */
#include "img_names.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define DEEPEST 200	/* directories: PATH_MAX stays far away */
#define LONGEST 3000	/* bytes */

void img_names_init(struct img_names *s)
{
	memset(s, 0, sizeof(*s));
	if (getrandom(&s->seed, sizeof(s->seed), 0) < 0)
		s->seed = 0x9e3779b97f4a7c15ULL;
}

void img_names_destroy(struct img_names *s)
{
	free(s->slot);
	s->slot = NULL;
	s->room = s->n = 0;
}

/* What stands for a deleted name: it must be a name. */
static bool bad_whiteout(const char *last)
{
	if (strncmp(last, ".wh.", 4) != 0)
		return false;
	last += 4;
	return !*last || !strcmp(last, ".") || !strcmp(last, "..");
}

const char *img_names_fit(const char *name, char *plain, size_t room)
{
	size_t n = 0, depth = 0;

	plain[0] = '\0';
	while (*name) {
		size_t len = strcspn(name, "/");

		if (len == 2 && !memcmp(name, "..", 2))
			return "a name that leads out of the root";
		if (len && !(len == 1 && *name == '.')) {
			if (n + len + 2 > room || n + len > LONGEST || len > 255 || ++depth > DEEPEST)
				return "a name that is too long";
			if (n)
				plain[n++] = '/';
			memcpy(plain + n, name, len);
			plain[n + len] = '\0';
			if (bad_whiteout(plain + n))
				return "a whiteout of no name";
			n += len;
		}
		name += len + (name[len] == '/');
	}
	return NULL;
}

/* FNV-1a, with a seed that the layer's author does not know; never 0. */
static uint64_t step(uint64_t h, unsigned char c)
{
	return (h ^ c) * 0x100000001b3ULL;
}

static uint64_t finish(uint64_t h)
{
	h ^= h >> 32;
	h *= 0xd6e8feb86659fd93ULL;
	h ^= h >> 32;
	return h ? h : 1;
}

static size_t place(const struct img_names *s, uint64_t h)
{
	size_t i = (size_t)h & (s->room - 1);

	while (s->slot[i] && s->slot[i] != h)
		i = (i + 1) & (s->room - 1);
	return i;
}

static bool has(const struct img_names *s, uint64_t h)
{
	return s->room && s->slot[place(s, h)] == h;
}

bool img_names_blocked(const struct img_names *s, const char *plain)
{
	uint64_t h = s->seed;

	for (; *plain; plain++) {
		if (*plain == '/' && has(s, finish(h)))
			return true;
		h = step(h, (unsigned char)*plain);
	}
	return false;
}

static int grow(struct img_names *s)
{
	struct img_names wide = { .room = s->room ? 2 * s->room : 1024, .seed = s->seed };

	wide.slot = calloc(wide.room, sizeof(*wide.slot));
	if (!wide.slot)
		return -1;
	for (size_t i = 0; i < s->room; i++)
		if (s->slot[i])
			wide.slot[place(&wide, s->slot[i])] = s->slot[i];
	free(s->slot);
	s->slot = wide.slot;
	s->room = wide.room;
	return 0;
}

/* A place is given back only by turning its hash into that of nothing that is asked for: others may be found behind it. */
#define GONE UINT64_MAX

int img_names_set(struct img_names *s, const char *plain, bool directory)
{
	uint64_t h = s->seed;

	for (const char *c = plain; *c; c++)
		h = step(h, (unsigned char)*c);
	h = finish(h);
	if (directory) {
		if (has(s, h))
			s->slot[place(s, h)] = GONE;
		return 0;
	}
	if (2 * (s->n + 1) > s->room && grow(s) < 0)
		return -1;
	size_t i = place(s, h);

	s->n += !s->slot[i];
	s->slot[i] = h;
	return 0;
}
