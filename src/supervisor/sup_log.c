/* SPDX-License-Identifier: MIT */
#include "sup_log.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

#include "sup_refusal.h"

/* A member that is a string; NULL: there is none, or it is something else. Valid as long as the object. */
static const char *text_of(json_object *o, const char *key)
{
	json_object *value = NULL;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &value) &&
	       json_object_is_type(value, json_type_string) ? json_object_get_string(value) : NULL;
}

int sup_log_first_error(const char *log, size_t n, char *out, size_t size)
{
	json_tokener *t = json_tokener_new();
	int found = 0;

	while (t && n && !found) {
		json_object *o = json_tokener_parse_ex(t, log, (int)n);
		const char *level = text_of(o, "level"), *msg = text_of(o, "msg");
		size_t used = json_tokener_get_parse_end(t);

		if (json_tokener_get_error(t) != json_tokener_success)
			break;
		if (level && msg && !strcmp(level, "error")) {
			(void)snprintf(out, size, "%s", msg);
			found = 1;
		}
		json_object_put(o);
		log += used;
		n -= used < n ? used : n;
		while (n && (*log == '\n' || *log == ' ')) {
			log++;
			n--;
		}
	}
	if (t)
		json_tokener_free(t);
	return found;
}

int sup_log_panicked(const struct sup_dir *d, char *out, size_t size)
{
	char text[8192];

	(void)sup_dir_read(d, "panic", text, sizeof(text));
	/* It is not empty after some plain failures, too ("Error reading mounts file"). */
	const char *p = strstr(text, "panic:"), *q = strstr(text, "fatal error:");

	p = p ? p : q;
	p = p ? p : strstr(text, "failed to create new OS thread");
	if (!p)
		return 0;
	(void)snprintf(out, size, "%.*s", (int)strcspn(p, "\n"), p);
	return 1;
}

/* What runsc says, and what it is for the caller; the first row that is found decides. */
static const struct { const char *needle, *code; } meanings[] = {
	{ "error finding executable", "bad_command" },
	{ "failed to load", "bad_command" },
	{ "failed to find initial working directory", "bad_command" },
	{ "creating working directory", "bad_command" },
	{ "create process working directory", "bad_command" },
	{ "creating process:", "bad_command" },
	{ "unknown platform", "not_supported" },
	{ "newuidmap failed", "not_supported" },
	{ "re-executing self", "not_supported" },
	{ "creating root file system", "bad_rootfs" },
};

void sup_log_explain(const char *text, struct sup_error *e)
{
	for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
		if (strstr(text, meanings[i].needle)) {
			(void)sup_error(e, meanings[i].code, "%s", text);
			return;
		}
	char why[SUP_REFUSAL_MAX];

	(void)sup_error(e, "runsc_failed", "runsc could not boot the sandbox: %s%s", text, sup_refusal_of_runsc(text, why));
}
