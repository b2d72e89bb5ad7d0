/* SPDX-License-Identifier: MIT
 *
 * sbx_buf: bytes that grow at the end and are taken from the front. The owner calls sbx_buf_destroy.
 */
#ifndef SBX_BUF_H
#define SBX_BUF_H

#include <stddef.h>

struct sbx_buf {
	unsigned char *bytes;
	size_t off, len, cap;	/* len bytes from off on */
};

/* Room for n more bytes, as one piece; NULL where memory or the limit says no. The bytes there become part by _add. */
unsigned char *sbx_buf_room(struct sbx_buf *b, size_t n, size_t limit);
void sbx_buf_add(struct sbx_buf *b, size_t n);
/* Takes n bytes from the front. */
void sbx_buf_take(struct sbx_buf *b, size_t n);
void sbx_buf_destroy(struct sbx_buf *b);

#endif
