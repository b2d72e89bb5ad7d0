/* SPDX-License-Identifier: MIT
 *
 * sbx_wire: the frames between a Lua host and its supervisor.
 *
 * A frame is a 32-bit little-endian payload length, one type byte and the payload. Text payloads are lists of
 * "key=value" items, each ended by NUL; keys may repeat. Neither side trusts the other's lengths: a frame that is larger
 * than its type allows ends the connection.
 */
#ifndef SBX_WIRE_H
#define SBX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SBX_WIRE_HEADER 5u
#define SBX_WIRE_DATA_MAX (64u * 1024u)		/* I, D, '1', '2' */
#define SBX_WIRE_TEXT_MAX (1024u * 1024u)	/* A, R, H, L, X, F, S */
#define SBX_WIRE_CONFIG_MAX (16u * 1024u * 1024u)
#define SBX_WIRE_WINDOW (256u * 1024u)		/* stdin bytes that the host may have outstanding */

enum sbx_wire_type {
	/* host to supervisor */
	SBX_WIRE_ATTACH = 'A',		/* ahead of the request for a program: the box it will be for */
	SBX_WIRE_REQUEST = 'R',
	SBX_WIRE_CONFIG = 'C',
	SBX_WIRE_FILE = 'F',
	SBX_WIRE_DATA = 'D',
	SBX_WIRE_GO = 'G',
	SBX_WIRE_STDIN = 'I',
	SBX_WIRE_STDIN_END = 'E',
	SBX_WIRE_KILL = 'K',
	SBX_WIRE_NETWORK = 'N',		/* both ways: a policy; what the network tells (sbx_net.h) */
	SBX_WIRE_LEASE = 'L',		/* to a prepared program: its own limits, from now on */
	SBX_WIRE_HOLD = 'H',		/* both ways: what is kept, from where it is wanted, and what there is of it (sup_keep.h) */
	SBX_WIRE_BUSY = 'B',		/* to a box: a program begins (1) or has ended (0) */
	SBX_WIRE_SIZE = 'Z',		/* within the stdin of our helper that has a terminal (guest_terminal.h): rows and columns */
	/* both ways: are you there? Answered at once by the same, whatever is under way */
	SBX_WIRE_PING = 'P',
	/* supervisor to host */
	SBX_WIRE_STARTED = 'S',
	SBX_WIRE_STDOUT = '1',		/* empty: the program has closed it, and may go on */
	SBX_WIRE_STDERR = '2',
	SBX_WIRE_CREDIT = 'W',
	SBX_WIRE_RESULT = 'X',
};

/* The largest payload that a frame of this type may have; -1 for a type that does not exist. */
int64_t sbx_wire_limit(uint8_t type);

/* Writes the five bytes of a header. */
void sbx_wire_put_header(unsigned char out[SBX_WIRE_HEADER], uint8_t type, uint32_t length);

/*
 * Reads a header from the first bytes of a buffer. 1: *type and *length are set; 0: fewer than five bytes yet;
 * -1: no such type, or a length beyond the type's limit (the connection must be ended).
 */
int sbx_wire_get_header(const unsigned char *buf, size_t n, uint8_t *type, uint32_t *length);

/*
 * Walks a text payload: *pos starts at 0; 1 and the next item's key (not NUL-ended: *klen) and value (NUL-ended), 0 at
 * the end, -1 where the bytes are no such list. The pointers lie in the payload.
 */
int sbx_wire_next_item(const char *payload, size_t n, size_t *pos, const char **key, size_t *klen, const char **value);
/* Whether an item's key is this word. */
bool sbx_wire_is_key(const char *word, const char *key, size_t klen);

#endif
