/* SPDX-License-Identifier: MIT
 *
 * sbx_wire and sbx_buf with no process and no socket: every length at its border, and what a hostile peer might send.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sbx_buf.h"
#include "sbx_wire.h"

static int passed, failed;

#define CHECK(what) check((what), #what, __LINE__)

static void check(bool ok, const char *what, int line)
{
	if (ok) {
		passed++;
		return;
	}
	failed++;
	fprintf(stderr, "wire_test.c:%d: %s\n", line, what);
}

static void test_header_round_trip(void)
{
	static const uint32_t lengths[] = { 0, 1, 255, 256, 65535, 65536 };
	unsigned char bytes[SBX_WIRE_HEADER];

	for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++) {
		uint8_t type = 0;
		uint32_t n = 77;

		sbx_wire_put_header(bytes, SBX_WIRE_STDOUT, lengths[i]);
		CHECK(sbx_wire_get_header(bytes, sizeof(bytes), &type, &n) == 1);
		CHECK(type == SBX_WIRE_STDOUT && n == lengths[i]);
	}
	sbx_wire_put_header(bytes, SBX_WIRE_CONFIG, 0x00010203);
	CHECK(!memcmp(bytes, "\x03\x02\x01\x00" "C", 5));
}

/* A header that has not come whole says nothing, and touches nothing. */
static void test_header_in_pieces(void)
{
	unsigned char bytes[SBX_WIRE_HEADER];
	uint8_t type = 9;
	uint32_t n = 77;

	sbx_wire_put_header(bytes, SBX_WIRE_RESULT, 3);
	for (size_t have = 0; have < SBX_WIRE_HEADER; have++)
		CHECK(sbx_wire_get_header(bytes, have, &type, &n) == 0);
	CHECK(type == 9 && n == 77);
	CHECK(sbx_wire_get_header(bytes, SBX_WIRE_HEADER, &type, &n) == 1);
}

static void test_limits(void)
{
	unsigned char bytes[SBX_WIRE_HEADER];
	int known = 0;

	for (int t = 0; t < 256; t++) {
		int64_t limit = sbx_wire_limit((uint8_t)t);
		uint8_t type = 0;
		uint32_t n = 0;

		if (limit < 0) {
			sbx_wire_put_header(bytes, (uint8_t)t, 0);
			CHECK(sbx_wire_get_header(bytes, sizeof(bytes), &type, &n) == -1);
			continue;
		}
		known++;
		sbx_wire_put_header(bytes, (uint8_t)t, (uint32_t)limit);
		CHECK(sbx_wire_get_header(bytes, sizeof(bytes), &type, &n) == 1 && n == limit);
		sbx_wire_put_header(bytes, (uint8_t)t, (uint32_t)limit + 1);
		CHECK(sbx_wire_get_header(bytes, sizeof(bytes), &type, &n) == -1);
		sbx_wire_put_header(bytes, (uint8_t)t, 0xffffffffu);
		CHECK(sbx_wire_get_header(bytes, sizeof(bytes), &type, &n) == -1);
	}
	CHECK(known == 20);
	CHECK(sbx_wire_limit(SBX_WIRE_GO) == 0 && sbx_wire_limit(SBX_WIRE_KILL) == 1 && sbx_wire_limit(SBX_WIRE_CREDIT) == 4 && sbx_wire_limit(SBX_WIRE_SIZE) == 4);
}

static void test_items(void)
{
	static const char list[] = "a=1\0b=\0a=x=y\0";
	const size_t size = sizeof(list) - 1;
	const char *key, *value;
	size_t klen, pos = 0;

	CHECK(sbx_wire_next_item(list, size, &pos, &key, &klen, &value) == 1);
	CHECK(klen == 1 && *key == 'a' && !strcmp(value, "1"));
	CHECK(sbx_wire_next_item(list, size, &pos, &key, &klen, &value) == 1);
	CHECK(klen == 1 && *key == 'b' && !*value);
	CHECK(sbx_wire_next_item(list, size, &pos, &key, &klen, &value) == 1);
	CHECK(klen == 1 && !strcmp(value, "x=y"));
	CHECK(sbx_wire_next_item(list, size, &pos, &key, &klen, &value) == 0);
	pos = 0;
	CHECK(sbx_wire_next_item("", 0, &pos, &key, &klen, &value) == 0);
}

/* The bytes lie in memory of exactly their size, so that a sanitizer sees the first one read beyond. */
static int first_item(const char *bytes, size_t n)
{
	char *copy = malloc(n ? n : 1);
	const char *key, *value;
	size_t klen, pos = 0;
	int rc;

	if (!copy)
		abort();
	memcpy(copy, bytes, n);
	rc = sbx_wire_next_item(copy, n, &pos, &key, &klen, &value);
	free(copy);
	return rc;
}

static void test_broken_items(void)
{
	CHECK(first_item("a=1", 3) == -1);		/* no end */
	CHECK(first_item("a", 1) == -1);
	CHECK(first_item("a\0", 2) == -1);		/* no '=' */
	CHECK(first_item("=1\0", 3) == -1);		/* no key */
	CHECK(first_item("\0", 1) == -1);
	CHECK(first_item("a\0b=1\0", 6) == -1);		/* the '=' belongs to the next item */
}

static bool add(struct sbx_buf *b, const char *text, size_t n, size_t limit)
{
	unsigned char *to = sbx_buf_room(b, n, limit);

	if (!to)
		return false;
	memcpy(to, text, n);
	sbx_buf_add(b, n);
	return true;
}

static void test_buf_order(void)
{
	struct sbx_buf b = { 0 };

	CHECK(add(&b, "hello ", 6, 100) && add(&b, "world", 5, 100));
	CHECK(b.len == 11 && !memcmp(b.bytes + b.off, "hello world", 11));
	sbx_buf_take(&b, 6);
	CHECK(b.len == 5 && !memcmp(b.bytes + b.off, "world", 5));
	sbx_buf_take(&b, 5);
	CHECK(b.len == 0 && b.off == 0);
	sbx_buf_destroy(&b);
	sbx_buf_destroy(&b);
	CHECK(!b.bytes && !b.len && !b.cap);
}

static void test_buf_limit(void)
{
	struct sbx_buf b = { 0 };

	CHECK(!sbx_buf_room(&b, 11, 10));
	CHECK(!sbx_buf_room(&b, (size_t)-1, 10));
	CHECK(add(&b, "0123456789", 10, 10));
	CHECK(!sbx_buf_room(&b, 1, 10));
	CHECK(!sbx_buf_room(&b, (size_t)-1, (size_t)-1));
	CHECK(b.len == 10 && !memcmp(b.bytes + b.off, "0123456789", 10));	/* a refusal changes nothing */
	sbx_buf_take(&b, 1);
	CHECK(add(&b, "x", 1, 10));
	CHECK(!memcmp(b.bytes + b.off, "123456789x", 10));
	sbx_buf_destroy(&b);
}

/* Frames of all sizes, taken in pieces of other sizes: what comes out is what went in. */
static void test_buf_stream(void)
{
	struct sbx_buf b = { 0 };
	unsigned char piece[5000];
	size_t in = 0, out = 0;
	bool same = true;

	for (unsigned round = 0; round < 2000; round++) {
		size_t n = round * 37 % sizeof(piece);
		size_t take;

		for (size_t i = 0; i < n; i++)
			piece[i] = (unsigned char)((in + i) % 251);
		if (add(&b, (const char *)piece, n, 1024 * 1024))
			in += n;
		take = round * 53 % (b.len + 1);
		for (size_t i = 0; i < take; i++)
			same = same && b.bytes[b.off + i] == (out + i) % 251;
		sbx_buf_take(&b, take);
		out += take;
	}
	CHECK(same && in - out == b.len && in > 1000000);
	sbx_buf_destroy(&b);
}

/* A burst does not leave its memory behind. */
static void test_buf_gives_back(void)
{
	struct sbx_buf b = { 0 };

	CHECK(sbx_buf_room(&b, 8u << 20, 16u << 20) != NULL);
	sbx_buf_add(&b, 8u << 20);
	sbx_buf_take(&b, 8u << 20);
	CHECK(b.cap <= 1u << 20);
	sbx_buf_destroy(&b);
}

int main(void)
{
	test_header_round_trip();
	test_header_in_pieces();
	test_limits();
	test_items();
	test_broken_items();
	test_buf_order();
	test_buf_limit();
	test_buf_stream();
	test_buf_gives_back();
	printf("%d passed, %d failed\n", passed, failed);
	return failed != 0;
}
