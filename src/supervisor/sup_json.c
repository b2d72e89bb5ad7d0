/* SPDX-License-Identifier: MIT */
#include "sup_json.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define TEXT_MAX (64u * 1024u * 1024u)

static void put(struct sup_json *j, const void *bytes, size_t n)
{
	unsigned char *to = j->failed ? NULL : sbx_buf_room(&j->buf, n, TEXT_MAX);

	j->failed = !to;
	if (to) {
		memcpy(to, bytes, n);
		sbx_buf_add(&j->buf, n);
	}
}

static void begin(struct sup_json *j)
{
	if (j->more)
		put(j, ",", 1);
	j->more = true;
}

void sup_json_open(struct sup_json *j, char bracket)
{
	begin(j);
	put(j, &bracket, 1);
	j->more = false;
}

void sup_json_close(struct sup_json *j, char bracket)
{
	put(j, &bracket, 1);
	j->more = true;
}

/* How many bytes the character takes; 0: it is none (RFC 3629). */
static unsigned utf8(const unsigned char *p)
{
	static const struct { uint32_t least; unsigned char mask, lead; } rows[] = {
		{ 0, 0x80, 0 }, { 0x80, 0xe0, 0xc0 }, { 0x800, 0xf0, 0xe0 }, { 0x10000, 0xf8, 0xf0 },
	};

	for (unsigned n = 0; n < 4; n++) {
		uint32_t c = (uint32_t)*p & (unsigned char)~rows[n].mask;

		if ((*p & rows[n].mask) != rows[n].lead)
			continue;
		for (unsigned i = 1; i <= n; i++) {
			if ((p[i] & 0xc0) != 0x80)
				return 0;
			c = c << 6 | (p[i] & 0x3f);
		}
		return c < rows[n].least || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n + 1;
	}
	return 0;
}

void sup_json_string(struct sup_json *j, const char *value)
{
	char escaped[8];
	unsigned n;

	begin(j);
	put(j, "\"", 1);
	for (const unsigned char *p = (const unsigned char *)value; *p; p += n) {
		n = utf8(p);
		if (*p == '"' || *p == '\\' || *p < 0x20)
			put(j, escaped, (size_t)snprintf(escaped, sizeof(escaped), "\\u%04x", *p));
		else
			put(j, p, n);
		if (n == 0) {
			j->failed = true;
			return;
		}
	}
	put(j, "\"", 1);
}

void sup_json_key(struct sup_json *j, const char *key)
{
	sup_json_string(j, key);
	put(j, ":", 1);
	j->more = false;
}

void sup_json_value(struct sup_json *j, const char *json)
{
	begin(j);
	put(j, json, strlen(json));
}

void sup_json_int(struct sup_json *j, long long value)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%lld", value);
	sup_json_value(j, text);
}

void sup_json_double(struct sup_json *j, double value)
{
	char text[64];

	(void)snprintf(text, sizeof(text), "%.6f", value);
	sup_json_value(j, text);
}

const char *sup_json_text(struct sup_json *j)
{
	put(j, "", 1);
	return j->failed ? NULL : (const char *)j->buf.bytes + j->buf.off;
}

void sup_json_destroy(struct sup_json *j)
{
	sbx_buf_destroy(&j->buf);
}
