/* SPDX-License-Identifier: MIT */
#include "img_say.h"

#include <json-c/json.h>
#include <stdio.h>
#include <string.h>

static void put(struct json_object *o)
{
	(void)puts(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)fflush(stdout);
	json_object_put(o);
}

static struct json_object *event(const char *name)
{
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "event", json_object_new_string(name));
	return o;
}

/* "scheme://user:word@host" without what stands before the @. */
static void drop_secrets(char *text)
{
	for (char *at = text; (at = strstr(at, "://")) != NULL;) {
		at += 3;
		size_t n = strcspn(at, " /\"'?#");
		char *end = memrchr(at, '@', n);

		if (end)
			memmove(at, end + 1, strlen(end + 1) + 1);
	}
}

void img_clean(char *text)
{
	char *out = text;

	for (const char *in = text; *in; in++) {
		unsigned char c = (unsigned char)*in;
		char shown = c < 0x20 || c >= 0x7f ? ' ' : (char)c;

		if (shown != ' ' || (out > text && out[-1] != ' '))
			*out++ = shown;
	}
	while (out > text && out[-1] == ' ')
		out--;
	*out = '\0';
	drop_secrets(text);
}

int img_fail(const char *code, const char *form, ...)
{
	char text[IMG_SAY_MAX];
	struct json_object *o = event("error");
	va_list list;

	va_start(list, form);
	(void)vsnprintf(text, sizeof(text), form, list);
	va_end(list);
	img_clean(text);
	json_object_object_add(o, "code", json_object_new_string(code));
	json_object_object_add(o, "message", json_object_new_string(text));
	put(o);
	return -1;
}

void img_progress(const char *phase, uint64_t bytes)
{
	struct json_object *o = event("progress");

	json_object_object_add(o, "phase", json_object_new_string(phase));
	json_object_object_add(o, "bytes", json_object_new_int64((int64_t)bytes));
	put(o);
}

void img_done(const char *key, int fresh)
{
	struct json_object *o = event("done");

	json_object_object_add(o, "key", json_object_new_string(key));
	json_object_object_add(o, "fresh", json_object_new_boolean(fresh));
	put(o);
}

void img_removed(const char *key, uint64_t bytes)
{
	struct json_object *o = event("removed");

	json_object_object_add(o, "key", json_object_new_string(key));
	json_object_object_add(o, "bytes", json_object_new_int64((int64_t)bytes));
	put(o);
}
