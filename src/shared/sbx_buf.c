/* SPDX-License-Identifier: MIT */
#include "sbx_buf.h"

#include <stdlib.h>
#include <string.h>

/* What an emptied buffer keeps. */
#define KEEP (256u * 1024u)

unsigned char *sbx_buf_room(struct sbx_buf *b, size_t n, size_t limit)
{
	if (n > limit || b->len > limit - n)
		return NULL;
	if (b->off + b->len + n > b->cap && b->off) {
		memmove(b->bytes, b->bytes + b->off, b->len);
		b->off = 0;
	}
	if (b->len + n > b->cap) {
		size_t cap = b->cap ? b->cap : 4096;

		while (cap < b->len + n)
			cap *= 2;
		unsigned char *bytes = realloc(b->bytes, cap);

		if (!bytes)
			return NULL;
		b->bytes = bytes;
		b->cap = cap;
	}
	return b->bytes + b->off + b->len;
}

void sbx_buf_add(struct sbx_buf *b, size_t n)
{
	b->len += n;
}

void sbx_buf_take(struct sbx_buf *b, size_t n)
{
	b->off += n;
	b->len -= n;
	if (b->len)
		return;
	b->off = 0;
	if (b->cap > KEEP)
		sbx_buf_destroy(b);
}

void sbx_buf_destroy(struct sbx_buf *b)
{
	free(b->bytes);
	memset(b, 0, sizeof(*b));
}
