/* SPDX-License-Identifier: MIT
 *
 * img_store: the directory in which images are kept (option image_dir), which is one user's alone, 0700:
 *
 *	images/KEY/	an image: rootfs, and what is known of it (info.json, config.json, passwd, group); KEY is HEX-IDS, the digest of its
 *			manifest and the first of the host's ids that its owners were mapped to, or "user". Its mtime is its last use; who
 *			uses it holds a shared lock on the directory, who removes it an exclusive one
 *	refs/NAME	what a reference stood for when it was fetched: { reference=, key=, stamp= }
 *	locks/NAME	held by who fetches a reference or makes an image
 *	tmp/X/		what is being made or removed: whoever makes it holds a lock on it, and without one it is swept
 *
 * What is complete appears by rename, and in no other way: nobody ever finds half an image, whenever we are killed.
 */
#ifndef IMG_STORE_H
#define IMG_STORE_H

#include <stdbool.h>

#define IMG_KEY_MAX 96

/* Makes it where it is not there, and makes it our working directory: all paths are relative to it. -1: told. */
int img_store_enter(const char *path);

/* Takes the lock of a name, waiting for it (and telling so); its descriptor. -1: told. */
int img_store_lock(const char *name);

/* Makes tmp/X, locked; X in `path` as "tmp/X". Its descriptor, or -1: told. Dead ones are swept first. */
int img_store_temporary(char path[40]);

/* Whether a key, a name, a digest is of letters that may be part of a path. */
bool img_store_name(const char *name);
bool img_store_hex(const char *hex);

/* Whether an image is there. */
bool img_store_has(const char *key);

/* Writes a file: complete, or not at all. Until then it is in `temporary`, which we hold: what nobody holds is swept. -1: told. */
int img_store_write(const char *temporary, const char *path, const char *text);

/* Takes a whole image out: 0; 1: it is in use. -1: told. */
int img_store_drop(const char *key);

#endif
