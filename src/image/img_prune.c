/* SPDX-License-Identifier: MIT */
#include "img_prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "img_say.h"
#include "img_store.h"

struct kept {
	char key[IMG_KEY_MAX];
	time_t used;
	uint64_t bytes;
	bool named;
};

static struct json_object *read_record(const char *name)
{
	char path[300];

	(void)snprintf(path, sizeof(path), "refs/%s", name);
	return json_object_from_file(path);
}

static bool names(struct json_object *record, const char *key)
{
	struct json_object *value;

	return json_object_is_type(record, json_type_object) && json_object_object_get_ex(record, "key", &value) &&
	       json_object_is_type(value, json_type_string) && !strcmp(json_object_get_string(value), key);
}

/* Whether a record other than `except` names the key; with `forget` those that do are taken away. */
static bool is_named(const char *key, const char *except, bool forget)
{
	DIR *d = opendir("refs");
	bool found = false;

	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		if (e->d_name[0] == '.' || (except && !strcmp(e->d_name, except)))
			continue;
		struct json_object *record = read_record(e->d_name);

		if (names(record, key)) {
			found = true;
			if (forget)
				(void)unlinkat(dirfd(d), e->d_name, 0);
		}
		json_object_put(record);
	}
	if (d)
		(void)closedir(d);
	return found;
}

static uint64_t bytes_of(const char *key)
{
	char path[IMG_KEY_MAX + 32];
	struct json_object *value;

	(void)snprintf(path, sizeof(path), "images/%s/info.json", key);
	struct json_object *info = json_object_from_file(path);
	int64_t bytes = json_object_is_type(info, json_type_object) && json_object_object_get_ex(info, "bytes", &value) ? json_object_get_int64(value) : 0;

	json_object_put(info);
	return bytes > 0 ? (uint64_t)bytes : 0;
}

/* 0: it is gone, or stays since it is in use (1). */
static int drop(const char *key)
{
	uint64_t bytes = bytes_of(key);
	int rc = img_store_drop(key);

	if (rc == 0) {
		(void)is_named(key, NULL, true);
		img_removed(key, bytes);
	}
	return rc;
}

/* The key that the record of a name has; "": none. */
static void key_of(const char *name, char key[IMG_KEY_MAX])
{
	struct json_object *record = read_record(name), *value;

	key[0] = '\0';
	if (json_object_is_type(record, json_type_object) && json_object_object_get_ex(record, "key", &value) && img_store_name(json_object_get_string(value)))
		(void)snprintf(key, IMG_KEY_MAX, "%s", json_object_get_string(value));
	json_object_put(record);
}

int img_remove(const struct img_want *w)
{
	char key[IMG_KEY_MAX], path[IMG_KEY_MAX + 8];
	const char *shown = w->reference ? w->reference : w->key ? w->key : "";

	if (w->key)
		(void)snprintf(key, sizeof(key), "%s", w->key);
	else
		key_of(w->name, key);
	bool there = key[0] && img_store_has(key);
	int rc = 0;

	if (there && (w->key || !is_named(key, w->name, false)))
		rc = drop(key);
	if (rc > 0)
		return img_fail("busy", "image %s is in use", shown);
	if (rc == 0 && !w->key) {	/* another reference may go on to stand for it */
		(void)snprintf(path, sizeof(path), "refs/%s", w->name);
		(void)unlink(path);
	}
	if (rc == 0 && !there)
		return img_fail("not_found", "image %s is not kept here", shown);
	if (rc == 0)
		img_done(key, 1);
	return rc;
}

static int by_use(const void *a, const void *b)
{
	const struct kept *x = a, *y = b;

	return (x->used > y->used) - (x->used < y->used);
}

/* All images, the least lately used first; the caller frees them. -1: no memory. */
static int list(struct kept **out, size_t *n)
{
	DIR *d = opendir("images");
	struct stat st;

	*out = NULL;
	*n = 0;
	for (struct dirent *e; d && (e = readdir(d)) != NULL;) {
		if (!img_store_name(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
			continue;
		struct kept *more = reallocarray(*out, *n + 1, sizeof(*more));

		if (!more) {
			(void)closedir(d);
			return -1;
		}
		*out = more;
		struct kept *k = &more[(*n)++];

		(void)snprintf(k->key, sizeof(k->key), "%.*s", IMG_KEY_MAX - 1, e->d_name);
		k->used = st.st_mtime;
		k->bytes = bytes_of(k->key);
		k->named = is_named(k->key, NULL, false);
	}
	if (d)
		(void)closedir(d);
	if (*n)
		qsort(*out, *n, sizeof(**out), by_use);
	return 0;
}

int img_prune(const struct img_want *w)
{
	struct kept *all;
	size_t n;
	uint64_t sum = 0, now = (uint64_t)time(NULL);
	char path[40];
	int rc = 0, holder = img_store_temporary(path);	/* which sweeps what the dead left */

	if (holder < 0)
		return -1;
	(void)rmdir(path);
	(void)close(holder);
	if (list(&all, &n) < 0)
		return img_fail("system", "no memory for the list of images");
	for (size_t i = 0; i < n; i++)
		sum += all[i].bytes;
	for (size_t i = 0; i < n && rc >= 0; i++) {
		bool old = w->unused && (uint64_t)all[i].used + w->unused <= now;

		if (all[i].named && !old && !(w->bound && sum > w->max_bytes))
			continue;
		rc = drop(all[i].key);
		if (rc == 0)
			sum -= all[i].bytes;
	}
	free(all);
	if (rc >= 0)
		img_done("", 0);
	return rc < 0 ? -1 : 0;
}
