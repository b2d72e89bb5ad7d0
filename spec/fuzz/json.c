/* SPDX-License-Identifier: MIT
 *
 * sup_json: strings as keys and values; what it writes, json-c reads, and reads the same.
 */
#include "fuzz.h"

#include <json-c/json.h>

#include "sup_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	struct sup_json j = { .failed = false };
	char *value = malloc(n + 1);

	MUST(value);
	if (n)
		memcpy(value, bytes, n);
	value[n] = '\0';
	sup_json_open(&j, '{');
	sup_json_key(&j, "k");
	sup_json_open(&j, '[');
	sup_json_string(&j, value);
	sup_json_int(&j, n ? -bytes[0] : 0);
	sup_json_close(&j, ']');
	sup_json_key(&j, value);
	sup_json_double(&j, (double)n / 3);
	sup_json_close(&j, '}');
	const char *text = sup_json_text(&j);

	if (text) {
		enum json_tokener_error err;
		struct json_object *o = json_tokener_parse_verbose(text, &err), *list = NULL;

		MUST(o && err == json_tokener_success);
		if (strcmp(value, "k"))	/* the later of two of a name counts */
			MUST(json_object_object_get_ex(o, "k", &list) && !strcmp(json_object_get_string(json_object_array_get_idx(list, 0)), value));
		json_object_put(o);
	}
	sup_json_destroy(&j);
	free(value);
	return 0;
}
