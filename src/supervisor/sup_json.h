/* SPDX-License-Identifier: MIT
 *
 * sup_json: writes JSON (RFC 8259). Commas come by themselves; strings are escaped, and one that is no UTF-8 makes the whole
 * text fail, for its reader would see another.
 */
#ifndef SUP_JSON_H
#define SUP_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "sbx_buf.h"

struct sup_json {
	struct sbx_buf buf;
	bool more;		/* a value has come before, at this level */
	bool failed;
};

/* '{' or '[', '}' or ']'. */
void sup_json_open(struct sup_json *j, char bracket);
void sup_json_close(struct sup_json *j, char bracket);
void sup_json_key(struct sup_json *j, const char *key);
void sup_json_string(struct sup_json *j, const char *value);
void sup_json_int(struct sup_json *j, long long value);
void sup_json_double(struct sup_json *j, double value);
/* A value that is JSON already. */
void sup_json_value(struct sup_json *j, const char *json);
/* The text, valid until destroy; NULL: no memory, or a string that is no UTF-8. */
const char *sup_json_text(struct sup_json *j);
void sup_json_destroy(struct sup_json *j);

#endif
