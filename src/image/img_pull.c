/* SPDX-License-Identifier: MIT */
#include "img_pull.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "img_oci.h"
#include "img_say.h"
#include "img_store.h"
#include "img_tar.h"
#include "img_tool.h"
#include "img_tree.h"

struct pull {
	const struct img_want *w;
	char tmp[40], layout[64], image[64], rootfs[80];
	char key[IMG_KEY_MAX];
	struct img_oci oci;
	struct img_tar tar;
};

static const char *text_of(struct json_object *o, const char *key)
{
	struct json_object *value;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &value) && json_object_is_type(value, json_type_string) ?
		       json_object_get_string(value) : "";
}

/* The key that the reference's record names, if it is of this reference as it is now, and the image is there. */
static bool known(const struct img_want *w, char key[IMG_KEY_MAX])
{
	char path[IMG_KEY_MAX + 8];
	bool good = false;

	(void)snprintf(path, sizeof(path), "refs/%s", w->name);
	struct json_object *o = json_object_from_file(path);
	const char *named = text_of(o, "key");

	if (!strcmp(text_of(o, "reference"), w->reference) && !strcmp(text_of(o, "stamp"), w->stamp) && img_store_name(named) && img_store_has(named)) {
		(void)snprintf(key, IMG_KEY_MAX, "%s", named);
		good = !strcmp(key + strcspn(key, "-") + 1, w->ids);
	}
	json_object_put(o);
	return good;
}

static int record(const struct pull *p)
{
	char path[IMG_KEY_MAX + 8];
	struct json_object *o = json_object_new_object();

	json_object_object_add(o, "reference", json_object_new_string(p->w->reference));
	json_object_object_add(o, "key", json_object_new_string(p->key));
	json_object_object_add(o, "stamp", json_object_new_string(p->w->stamp));
	(void)snprintf(path, sizeof(path), "refs/%s", p->w->name);
	int rc = img_store_write(p->tmp, path, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));

	json_object_put(o);
	return rc;
}

/* Where containers have no policy of their own, none holds. */
static bool has_policy(void)
{
	const char *home = getenv("HOME");
	char path[4200];

	(void)snprintf(path, sizeof(path), "%s/.config/containers/policy.json", home ? home : "/nonexistent");
	return access("/etc/containers/policy.json", F_OK) == 0 || access(path, F_OK) == 0;
}

/* Who has no $XDG_RUNTIME_DIR has /run/containers/UID; where that is in a directory of root's alone, skopeo would fail on it. */
static bool auth_is_shut(void)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/run/containers/%u/auth.json", (unsigned)getuid());
	return !getenv("XDG_RUNTIME_DIR") && access(path, R_OK) < 0 && errno == EACCES;
}

/* A path goes by a link of ours: what is in it means nothing to skopeo then. */
static int fetch(struct pull *p)
{
	const struct img_want *w = p->w;
	char from[1200], to[96], link[64], cwd[4096];
	struct img_tool t = { .phase = "fetch", .package = "skopeo", .max = w->max_bytes };
	const char *with[] = { "skopeo", "copy", "--quiet", "--", from, to, NULL };
	const char *without[] = { "skopeo", "--insecure-policy", "copy", "--quiet", "--", from, to, NULL };

	(void)snprintf(link, sizeof(link), "%.39s/source", p->tmp);
	(void)snprintf(to, sizeof(to), "oci:%s:image", p->layout);
	if (!strcmp(w->kind, "docker"))
		(void)snprintf(from, sizeof(from), "docker://%.1100s", w->source);
	else if (symlink(w->source, link) < 0)
		return img_fail("system", "cannot make %s: %s", link, strerror(errno));
	else
		(void)snprintf(from, sizeof(from), "%.20s:%s%s%.1000s", w->kind, link, w->tag ? ":" : "", w->tag ? w->tag : "");
	/* Its large temporary files are ours to sweep. */
	if (!getcwd(cwd, sizeof(cwd) - 80) || mkdir(p->layout, 0700) < 0)
		return img_fail("system", "cannot make %s: %s", p->layout, strerror(errno));
	(void)snprintf(cwd + strlen(cwd), 80, "/%s", p->layout);
	(void)setenv("TMPDIR", cwd, 1);
	if (auth_is_shut())
		(void)setenv("XDG_RUNTIME_DIR", cwd, 1);
	t.watch = open(p->layout, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = img_tool_run(&t, has_policy() ? with : without);

	if (t.watch >= 0)
		(void)close(t.watch);
	return rc > 0 ? img_fail("bad_rootfs", "image %s cannot be fetched: %s", w->reference, t.said) : rc;
}

static int check_layer(struct pull *p, size_t i)
{
	int gzipped = 0, file = img_oci_layer(&p->oci, p->layout, i, &gzipped), fd = file;
	pid_t pid = -1;

	if (file < 0)
		return -1;
	if (gzipped)
		fd = img_tool_gunzip(file, &pid);
	int rc = fd < 0 ? -1 : img_tar_check(&p->tar, fd);

	if (fd >= 0)
		(void)close(fd);
	if (gzipped)
		(void)close(file);
	int status = pid > 0 ? img_tool_reap(pid) : 0;

	if (rc < 0)
		return fd < 0 ? -1 : img_fail("bad_rootfs", "image %s is refused: layer %zu of %zu: %s", p->w->reference, i + 1, p->oci.layers, p->tar.why);
	return status == 0 ? 0 : img_fail("bad_rootfs", "image %s is refused: layer %zu of %zu is no whole gzip file", p->w->reference, i + 1, p->oci.layers);
}

/* Nothing is unpacked before all of it was looked at. */
static int check(struct pull *p)
{
	p->tar = (struct img_tar){ .max_bytes = p->w->max_bytes, .max_files = p->w->max_files };
	img_progress("check", 0);
	for (size_t i = 0; i < p->oci.layers; i++)
		if (check_layer(p, i) < 0)
			return -1;
	return 0;
}

static int unpack(const struct pull *p)
{
	bool user = !strcmp(p->w->ids, "user");
	char image[80], map[64];
	struct img_tool t = { .phase = "unpack", .package = "umoci", .max = p->w->max_bytes, .watch = -1 };
	const char *rootless[] = { "umoci", "raw", "unpack", "--rootless", "--image", image, p->rootfs, NULL };
	const char *mapped[] = { "umoci", "raw", "unpack", "--uid-map", map, "--gid-map", map, "--image", image, p->rootfs, NULL };

	(void)snprintf(image, sizeof(image), "%s:image", p->layout);
	(void)snprintf(map, sizeof(map), "0:%.20s:65536", p->w->ids);
	/* The root, and what is on the way to a file, where no layer speaks of them: they are for every user of the guest. */
	mode_t own = umask(022);
	int rc = img_tool_run(&t, user ? rootless : mapped);

	(void)umask(own);
	return rc > 0 ? img_fail("bad_rootfs", "image %s cannot be unpacked: %s", p->w->reference, t.said) : rc;
}

static int keep_text(const struct pull *p, const char *name, const char *text)
{
	char path[100];

	(void)snprintf(path, sizeof(path), "%s/%s", p->image, name);
	return img_store_write(p->tmp, path, text);
}

/* What is known of it beside its files. */
static int describe(const struct pull *p, const struct img_tree *t)
{
	static const char *const accounts[] = { "passwd", "group" };
	struct json_object *o = json_object_new_object();
	int rc = 0;

	json_object_object_add(o, "digest", json_object_new_string(p->oci.digest));
	json_object_object_add(o, "layers", json_object_new_int64((int64_t)p->oci.layers));
	json_object_object_add(o, "bytes", json_object_new_int64((int64_t)t->bytes));
	json_object_object_add(o, "files", json_object_new_int64((int64_t)t->files));
	json_object_object_add(o, "devices", json_object_new_int64((int64_t)p->tar.devices));
	json_object_object_add(o, "made", json_object_new_int64((int64_t)time(NULL)));
	rc = keep_text(p, "info.json", json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	for (size_t i = 0; i < 2 && rc == 0; i++) {
		char path[16];

		(void)snprintf(path, sizeof(path), "etc/%s", accounts[i]);
		char *text = img_oci_file(p->rootfs, path);

		rc = keep_text(p, accounts[i], text ? text : "");
		free(text);
	}
	return rc < 0 ? rc : keep_text(p, "config.json", p->oci.config);
}

/* From a layout that was looked at to images/KEY, which is there at once or not at all. */
static int make(struct pull *p)
{
	struct img_tree tree;
	char to[IMG_KEY_MAX + 8];

	if (mkdir(p->image, 0700) < 0)
		return img_fail("system", "cannot make %s: %s", p->image, strerror(errno));
	if (check(p) < 0 || unpack(p) < 0)
		return -1;
	if (img_tree_look(p->rootfs, (uint32_t)strtoul(p->w->ids, NULL, 10), &tree) < 0)
		return img_fail("system", "cannot look through %s: %s", p->rootfs, strerror(errno));
	if (tree.files > p->w->max_files || describe(p, &tree) < 0)
		return tree.files > p->w->max_files ? img_fail("bad_rootfs", "image %s has more than max_image_files", p->w->reference) : -1;
	(void)snprintf(to, sizeof(to), "images/%s", p->key);
	int fd = open(p->image, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	/* A machine that loses its power after the rename must not have an image of empty files. */
	if (fd < 0 || syncfs(fd) < 0 || rename(p->image, to) < 0) {
		(void)(fd >= 0 ? close(fd) : 0);
		return img_fail("system", "cannot put the image at %s: %s", to, strerror(errno));
	}
	(void)close(fd);
	return 0;
}

static int settle(struct pull *p)
{
	if (fetch(p) < 0 || img_oci_read(&p->oci, p->layout) < 0)
		return -1;
	(void)snprintf(p->key, sizeof(p->key), "%s-%.20s", p->oci.digest, p->w->ids);
	int lock = img_store_lock(p->key);

	if (lock < 0)
		return -1;
	bool there = img_store_has(p->key);
	int rc = there ? 0 : make(p);

	if (rc == 0)
		rc = record(p);
	(void)close(lock);
	if (rc == 0)
		img_done(p->key, !there);
	return rc;
}

int img_pull(const struct img_want *w)
{
	struct pull p = { .w = w };
	int lock = img_store_lock(w->name), rc = -1;

	if (lock < 0)
		return -1;
	if (!w->refresh && known(w, p.key)) {
		img_done(p.key, 0);
		(void)close(lock);
		return 0;
	}
	int holder = img_store_temporary(p.tmp);

	if (holder >= 0) {
		(void)snprintf(p.layout, sizeof(p.layout), "%s/layout", p.tmp);
		(void)snprintf(p.image, sizeof(p.image), "%s/image", p.tmp);
		(void)snprintf(p.rootfs, sizeof(p.rootfs), "%s/rootfs", p.image);
		rc = settle(&p);
		img_oci_free(&p.oci);
		(void)img_tree_remove(p.tmp);
		(void)close(holder);
	}
	(void)close(lock);
	return rc;
}
