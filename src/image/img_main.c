/* SPDX-License-Identifier: MIT
 *
 * Theory of operation. `sandbox-image` fetches, checks, unpacks and removes images, one task a process: whoever needs an image starts it by
 * a supervisor (kind `tool`), which kills it with its host. So it may wait as it likes, for locks, for tools and for disks, where a host
 * may not. skopeo fetches (img_tool), every header of every layer is looked at before anything of it is unpacked (img_tar), umoci unpacks,
 * and what is complete appears in the store by a rename (img_store). What it has to say are lines of JSON (img_say).
 */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "img_pack.h"
#include "img_prune.h"
#include "img_pull.h"
#include "img_say.h"
#include "img_store.h"
#include "img_volume.h"

/* Of the caller's environment, what the tools need to find their own configuration, and their way out. */
static const char *const passed[] = {
	"HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "REGISTRY_AUTH_FILE", "CONTAINERS_REGISTRIES_CONF", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
	"http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
};

/* NAME=VALUE lines on stdin: a proxy's may hold a password, which an argument would show to everybody. */
static void take_environment(void)
{
	char line[8192];

	while (fgets(line, sizeof(line), stdin)) {
		char *eq = strchr(line, '=');

		line[strcspn(line, "\n")] = '\0';
		for (size_t i = 0; eq && i < sizeof(passed) / sizeof(passed[0]); i++)
			if (strlen(passed[i]) == (size_t)(eq - line) && !strncmp(line, passed[i], (size_t)(eq - line)))
				(void)setenv(passed[i], eq + 1, 1);
	}
}

static int take_argument(struct img_want *w, const char *word)
{
	const struct {
		const char *key;
		const char **text;
		uint64_t *number;
	} rows[] = {
		{ "dir", &w->dir, NULL }, { "reference", &w->reference, NULL }, { "name", &w->name, NULL }, { "kind", &w->kind, NULL },
		{ "source", &w->source, NULL }, { "tag", &w->tag, NULL }, { "stamp", &w->stamp, NULL }, { "ids", &w->ids, NULL },
		{ "key", &w->key, NULL }, { "out", &w->out, NULL }, { "max_bytes", NULL, &w->max_bytes }, { "max_files", NULL, &w->max_files },
		{ "unused_for", NULL, &w->unused },
	};
	const char *eq = strchr(word, '=');
	char *end;

	if (!strcmp(word, "refresh")) {
		w->refresh = true;
		return 0;
	}
	for (size_t i = 0; eq && i < sizeof(rows) / sizeof(rows[0]); i++)
		if (strlen(rows[i].key) == (size_t)(eq - word) && !strncmp(word, rows[i].key, (size_t)(eq - word))) {
			if (rows[i].text) {
				*rows[i].text = eq + 1;
				return 0;
			}
			if (!rows[i].number)
				return -1;
			errno = 0;
			*rows[i].number = strtoull(eq + 1, &end, 10);
			w->bound = w->bound || rows[i].number == &w->max_bytes;
			return *end || !eq[1] || errno ? -1 : 0;
		}
	return -1;
}

/* What becomes part of a path is looked at again here. */
static bool fit(const struct img_want *w)
{
	return w->dir && (!w->name || img_store_name(w->name)) && (!w->key || img_store_name(w->key)) && (!w->ids || (img_store_name(w->ids) && strlen(w->ids) <= 20)) &&
	       (!w->source || (w->source[0] && w->source[0] != '-'));
}

static bool complete(const struct img_want *w)
{
	return w->reference && w->name && w->kind && w->source && w->stamp && w->ids && w->max_bytes && w->max_files;
}

int main(int argc, char *argv[])
{
	struct img_want w = { 0 };
	const char *task = argc > 1 ? argv[1] : "";

	(void)umask(077);
	(void)setvbuf(stdout, NULL, _IOLBF, 0);
	for (int i = 2; i < argc; i++)
		if (take_argument(&w, argv[i]) < 0)
			return img_fail("system", "sandbox-image: what is %s?", argv[i]), 1;
	take_environment();
	if (!fit(&w))
		return 1;
	if (!strcmp(task, "volume") && w.name)
		return img_volume_remove(w.dir, w.name) < 0;
	if (img_store_enter(w.dir) < 0)
		return 1;
	int rc = -1;

	if (!strcmp(task, "pull") && complete(&w))
		rc = img_pull(&w);
	else if (!strcmp(task, "remove") && (w.name || w.key))
		rc = img_remove(&w);
	else if (!strcmp(task, "prune"))
		rc = img_prune(&w);
	else if (!strcmp(task, "pack") && w.source && w.out)
		rc = img_pack(&w);
	else
		(void)img_fail("system", "sandbox-image: an incomplete task");
	return rc < 0;
}
