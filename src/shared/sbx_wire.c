/* SPDX-License-Identifier: MIT */
#include "sbx_wire.h"

#include <string.h>

int64_t sbx_wire_limit(uint8_t type)
{
	switch (type) {
	case SBX_WIRE_ATTACH:
	case SBX_WIRE_REQUEST:
	case SBX_WIRE_FILE:
	case SBX_WIRE_HOLD:
	case SBX_WIRE_LEASE:
	case SBX_WIRE_NETWORK:
	case SBX_WIRE_STARTED:
	case SBX_WIRE_RESULT:
		return SBX_WIRE_TEXT_MAX;
	case SBX_WIRE_CONFIG:
		return SBX_WIRE_CONFIG_MAX;
	case SBX_WIRE_DATA:
	case SBX_WIRE_STDIN:
	case SBX_WIRE_STDOUT:
	case SBX_WIRE_STDERR:
		return SBX_WIRE_DATA_MAX;
	case SBX_WIRE_CREDIT:
	case SBX_WIRE_SIZE:
		return 4;
	case SBX_WIRE_KILL:
	case SBX_WIRE_BUSY:
		return 1;
	case SBX_WIRE_GO:
	case SBX_WIRE_PING:
	case SBX_WIRE_STDIN_END:
		return 0;
	default:
		return -1;
	}
}

void sbx_wire_put_header(unsigned char out[SBX_WIRE_HEADER], uint8_t type, uint32_t length)
{
	for (unsigned i = 0; i < 4; i++)
		out[i] = (unsigned char)(length >> (8 * i));
	out[4] = type;
}

int sbx_wire_get_header(const unsigned char *buf, size_t n, uint8_t *type, uint32_t *length)
{
	if (n < SBX_WIRE_HEADER)
		return 0;
	uint32_t len = (uint32_t)buf[0] | (uint32_t)buf[1] << 8 | (uint32_t)buf[2] << 16 | (uint32_t)buf[3] << 24;
	int64_t limit = sbx_wire_limit(buf[4]);

	if (limit < 0 || len > limit)
		return -1;
	*type = buf[4];
	*length = len;
	return 1;
}

int sbx_wire_next_item(const char *payload, size_t n, size_t *pos, const char **key, size_t *klen, const char **value)
{
	if (*pos == n)
		return 0;
	const char *item = payload + *pos;
	const char *end = memchr(item, '\0', n - *pos);

	if (!end)
		return -1;
	const char *eq = memchr(item, '=', (size_t)(end - item));

	if (!eq || eq == item)
		return -1;
	*key = item;
	*klen = (size_t)(eq - item);
	*value = eq + 1;
	*pos += (size_t)(end - item) + 1;
	return 1;
}

bool sbx_wire_is_key(const char *word, const char *key, size_t klen)
{
	return strlen(word) == klen && !memcmp(key, word, klen);
}
