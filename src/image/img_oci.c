/* SPDX-License-Identifier: MIT */
#include "img_oci.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "img_say.h"
#include "img_store.h"
#include "sbx_io.h"

#define DOCUMENT (4u << 20)	/* bytes of a manifest, a configuration, an account file */

/* A regular file as text; NULL and errno. */
static char *slurp(int fd)
{
	struct stat st;
	char *text = NULL;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= (off_t)DOCUMENT)
		text = malloc((size_t)st.st_size + 1);
	ssize_t n = text ? sbx_io_read(fd, text, (size_t)st.st_size) : -1;

	(void)close(fd);
	if (n < 0) {
		free(text);
		return NULL;
	}
	text[n] = '\0';
	return text;
}

static char *read_path(const char *path)
{
	return slurp(open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
}

/* The digest that a descriptor names: 64 digits; NULL: none. */
static const char *digest_of(struct json_object *descriptor)
{
	struct json_object *value;
	const char *text = NULL;

	if (json_object_is_type(descriptor, json_type_object) && json_object_object_get_ex(descriptor, "digest", &value) &&
	    json_object_is_type(value, json_type_string))
		text = json_object_get_string(value);
	return text && !strncmp(text, "sha256:", 7) && img_store_hex(text + 7) ? text + 7 : NULL;
}

static struct json_object *member(struct json_object *o, const char *key, enum json_type type)
{
	struct json_object *value;

	return json_object_is_type(o, json_type_object) && json_object_object_get_ex(o, key, &value) && json_object_is_type(value, type) ? value : NULL;
}

static char *blob(const char *layout, const char *hex)
{
	char path[200];

	(void)snprintf(path, sizeof(path), "%s/blobs/sha256/%s", layout, hex);
	return read_path(path);
}

static struct json_object *parse(char *text)
{
	struct json_object *o = text ? json_tokener_parse(text) : NULL;

	free(text);
	return o;
}

int img_oci_read(struct img_oci *o, const char *layout)
{
	char path[200];

	memset(o, 0, sizeof(*o));
	(void)snprintf(path, sizeof(path), "%s/index.json", layout);
	struct json_object *index = parse(read_path(path)), *list = member(index, "manifests", json_type_array);
	const char *digest = list && json_object_array_length(list) == 1 ? digest_of(json_object_array_get_idx(list, 0)) : NULL;

	if (digest)
		(void)snprintf(o->digest, sizeof(o->digest), "%s", digest);
	json_object_put(index);
	if (!digest)
		return img_fail("bad_rootfs", "the image has no index of one manifest");
	o->manifest = parse(blob(layout, o->digest));
	struct json_object *layers = member(o->manifest, "layers", json_type_array);
	const char *config = digest_of(member(o->manifest, "config", json_type_object));

	if (!layers || !config)
		return img_fail("bad_rootfs", "the image's manifest is none of a filesystem image");
	o->layers = json_object_array_length(layers);
	if (o->layers > IMG_OCI_LAYERS)
		return img_fail("bad_rootfs", "the image has %zu layers, of which there may be %u", o->layers, IMG_OCI_LAYERS);
	o->config = blob(layout, config);
	return o->config ? 0 : img_fail("bad_rootfs", "the image has no configuration");
}

void img_oci_free(struct img_oci *o)
{
	json_object_put(o->manifest);
	free(o->config);
	memset(o, 0, sizeof(*o));
}

int img_oci_layer(const struct img_oci *o, const char *layout, size_t i, int *gzipped)
{
	char path[200];
	unsigned char magic[4] = { 0 };
	struct json_object *layer = json_object_array_get_idx(member(o->manifest, "layers", json_type_array), i);
	const char *hex = digest_of(layer);

	if (!hex)
		return img_fail("bad_rootfs", "a layer of the image has no SHA-256 digest");
	(void)snprintf(path, sizeof(path), "%s/blobs/sha256/%s", layout, hex);
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 || pread(fd, magic, sizeof(magic), 0) < 0) {
		if (fd >= 0)
			(void)close(fd);
		return img_fail("bad_rootfs", "a layer of the image is not there: %s", strerror(errno));
	}
	*gzipped = magic[0] == 0x1f && magic[1] == 0x8b;
	return fd;
}

char *img_oci_file(const char *root, const char *path)
{
	struct open_how how = { .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS };
	int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int fd = dir < 0 ? -1 : (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (dir >= 0)
		(void)close(dir);
	return slurp(fd);
}
