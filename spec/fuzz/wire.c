/* SPDX-License-Identifier: MIT
 *
 * sbx_wire and sbx_buf: a stream of frames in pieces, and a list of items.
 */
#include "fuzz.h"

#include "sbx_buf.h"
#include "sbx_wire.h"

static void items(const uint8_t *bytes, size_t n)
{
	char *copy = fuzz_copy(bytes, n);
	const char *key, *value;
	size_t pos = 0, klen, before = 0;

	while (sbx_wire_next_item(copy, n, &pos, &key, &klen, &value) == 1) {
		MUST(klen > 0 && key + klen < value && value + strlen(value) < copy + n && pos > before && pos <= n);
		before = pos;
	}
	free(copy);
}

/* The pieces are of sizes that the input says; a frame that comes out is what a header in it says. */
static void frames(const uint8_t *bytes, size_t n)
{
	struct sbx_buf b = { 0 };
	size_t at = 0, taken = 0;

	while (at < n) {
		size_t size = 1 + bytes[at] % 64u;
		uint8_t type = 0;
		uint32_t length = 0;
		int rc;

		size = size < n - at ? size : n - at;
		unsigned char *to = sbx_buf_room(&b, size, 1 << 20);

		MUST(to);
		memcpy(to, bytes + at, size);
		sbx_buf_add(&b, size);
		at += size;
		MUST(b.len + taken == at && !memcmp(b.bytes + b.off, bytes + taken, b.len));
		while ((rc = sbx_wire_get_header(b.bytes + b.off, b.len, &type, &length)) == 1 && b.len >= SBX_WIRE_HEADER + length) {
			unsigned char again[SBX_WIRE_HEADER];

			MUST(length <= sbx_wire_limit(type));
			sbx_wire_put_header(again, type, length);
			MUST(!memcmp(again, b.bytes + b.off, SBX_WIRE_HEADER));
			items(b.bytes + b.off + SBX_WIRE_HEADER, length);
			sbx_buf_take(&b, SBX_WIRE_HEADER + length);
			taken += SBX_WIRE_HEADER + length;
		}
		if (rc < 0)
			break;
	}
	sbx_buf_destroy(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	items(bytes, n);
	frames(bytes, n);
	return 0;
}
