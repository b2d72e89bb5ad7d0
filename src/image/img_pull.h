/* SPDX-License-Identifier: MIT
 *
 * img_pull: an image from where it is to where it is kept.
 */
#ifndef IMG_PULL_H
#define IMG_PULL_H

#include <stdbool.h>
#include <stdint.h>

struct img_want {
	const char *dir;	/* image_dir */
	const char *reference;	/* as the caller wrote it */
	const char *name;	/* of its record */
	const char *kind;	/* skopeo's transport */
	const char *source;	/* a name for docker, else an absolute path */
	const char *tag;	/* oci: which one of the layout; NULL: the only one */
	const char *stamp;	/* what the source was when it was looked at; "" */
	const char *ids;	/* "user", or the first of the host's ids for guests */
	const char *key;	/* remove, pack: a key */
	const char *out;	/* pack: where to */
	uint64_t max_bytes, max_files;
	uint64_t unused;	/* prune: seconds; 0: not by age */
	bool bound;		/* prune: max_bytes counts */
	bool refresh;		/* what is known of the reference counts for nothing */
};

/* Tells `done`, and gives 0; or tells why not: -1. */
int img_pull(const struct img_want *w);

#endif
