/* SPDX-License-Identifier: MIT
 *
 * img_oci: what an OCI layout with one image says of it (image-spec: image-layout.md, manifest.md, config.md). It comes from a stranger.
 */
#ifndef IMG_OCI_H
#define IMG_OCI_H

#include <stddef.h>

#define IMG_OCI_LAYERS 500

struct json_object;

struct img_oci {
	char digest[65];	/* the manifest's */
	struct json_object *manifest;
	char *config;		/* as text */
	size_t layers;
};

/* Reads the layout's one image. -1: told. */
int img_oci_read(struct img_oci *o, const char *layout);
void img_oci_free(struct img_oci *o);

/* A layer as a descriptor; gzipped: 1. -1: told. */
int img_oci_layer(const struct img_oci *o, const char *layout, size_t i, int *gzipped);

/* A small file of the image's root as text, links taken as the guest would; NULL where there is none. The caller frees it. */
char *img_oci_file(const char *root, const char *path);

#endif
